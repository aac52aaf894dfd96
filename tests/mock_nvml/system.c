/* SPDX-License-Identifier: Apache-2.0 */
/* The library and the driver: init, shutdown, versions, confidential computing, error texts. */
#include "mock.h"

nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
    (void)flags;
    TRY(enter_init(__func__));
    state_init();
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlInit_v2(void)
{
    TRY(enter_init(__func__));
    state_init();
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlInit(void) { return nvmlInit_v2(); }

nvmlReturn_t nvmlShutdown(void)
{
    ENTER();
    return state_shutdown() ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

const char *nvmlErrorString(nvmlReturn_t result)
{
    switch (result) {
    case NVML_SUCCESS: return "Success";
    case NVML_ERROR_UNINITIALIZED: return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT: return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED: return "Not Supported";
    case NVML_ERROR_NO_PERMISSION: return "Insufficient Permissions";
    case NVML_ERROR_NOT_FOUND: return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE: return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT: return "Timeout";
    case NVML_ERROR_FUNCTION_NOT_FOUND: return "Function Not Found";
    case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
    case NVML_ERROR_RESET_REQUIRED: return "GPU requires reset";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH: return "Driver/library version mismatch";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH: return "Argument version mismatch";
    case NVML_ERROR_INVALID_STATE: return "Invalid state";
    default: return "Unknown Error";
    }
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
    ENTER();
    return set_text(version, length, control()->driver_version);
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
    char text[96];
    ENTER();
    snprintf(text, sizeof text, "13.%s", control()->driver_version);
    return set_text(version, length, text);
}

static nvmlReturn_t cuda_version(int *version)
{
    NEED(version);
    *version = 13000;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *cudaDriverVersion)
{
    ENTER();
    return cuda_version(cudaDriverVersion);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *cudaDriverVersion)
{
    ENTER();
    return cuda_version(cudaDriverVersion);
}

nvmlReturn_t nvmlSystemGetDriverBranch(nvmlSystemDriverBranchInfo_t *branchInfo, unsigned int length)
{
    ENTER();
    NEED(branchInfo);
    VERSION(branchInfo, nvmlSystemDriverBranchInfo_v1);
    return set_text(branchInfo->branch, length, control()->model->driver_branch);
}

nvmlReturn_t nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length)
{
    ENTER();
    NEED(name && length);
    char path[64], text[1024] = "";
    snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return NVML_ERROR_NOT_FOUND;
    size_t got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[got] = 0;
    return set_text(name, length, text);
}

nvmlReturn_t nvmlSystemGetConfComputeCapabilities(nvmlConfComputeSystemCaps_t *capabilities)
{
    ENTER();
    NEED(capabilities);
    SUPPORT(control()->model->gpm);
    capabilities->cpuCaps = NVML_CC_SYSTEM_CPU_CAPS_NONE;
    capabilities->gpusCaps = NVML_CC_SYSTEM_GPUS_CC_CAPABLE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetConfComputeState(nvmlConfComputeSystemState_t *state)
{
    ENTER();
    NEED(state);
    SUPPORT(control()->model->gpm);
    *state = (nvmlConfComputeSystemState_t){NVML_CC_SYSTEM_ENVIRONMENT_UNAVAILABLE, NVML_CC_SYSTEM_FEATURE_DISABLED,
                                            NVML_CC_SYSTEM_DEVTOOLS_MODE_OFF};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetConfComputeSettings(nvmlSystemConfComputeSettings_t *settings)
{
    ENTER();
    NEED(settings);
    VERSION(settings, nvmlSystemConfComputeSettings_v1);
    SUPPORT(control()->model->gpm);
    settings->environment = NVML_CC_SYSTEM_ENVIRONMENT_UNAVAILABLE;
    settings->ccFeature = NVML_CC_SYSTEM_FEATURE_DISABLED;
    settings->devToolsMode = NVML_CC_SYSTEM_DEVTOOLS_MODE_OFF;
    settings->multiGpuMode = NVML_CC_SYSTEM_MULTIGPU_NONE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetConfComputeSettings_v2(nvmlSystemConfComputeSettings_v2_t *settings)
{
    ENTER();
    NEED(settings);
    VERSION(settings, nvmlSystemConfComputeSettings_v2);
    SUPPORT(control()->model->gpm);
    *settings = (nvmlSystemConfComputeSettings_v2_t){.version = settings->version};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetConfComputeGpusReadyState(unsigned int *isAcceptingWork)
{
    ENTER();
    NEED(isAcceptingWork);
    SUPPORT(control()->model->gpm);
    *isAcceptingWork = NVML_CC_ACCEPTING_CLIENT_REQUESTS_TRUE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetConfComputeMemSizeInfo(nvmlDevice_t device, nvmlConfComputeMemSizeInfo_t *memInfo)
{
    ENTER_GPU(device);
    NEED(memInfo);
    SUPPORT(control()->model->gpm);
    memInfo->protectedMemSizeKib = 0;
    memInfo->unprotectedMemSizeKib = control()->model->memory_mib * 1024ull;
    return NVML_SUCCESS;
}
