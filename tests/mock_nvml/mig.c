/* SPDX-License-Identifier: Apache-2.0 */
/* MIG: n instances of 1g.10gb. With 3 to 6 of them index 1 is a hole, as after destroying one. */
#include "mock.h"

enum { FIRST_GPU_INSTANCE = 7 };

static struct nvmlDevice_st instances[MAX_GPUS][MAX_MIG];

__attribute__((constructor)) static void start(void)
{
    for (int gpu = 0; gpu < MAX_GPUS; gpu++)
        for (int index = 0; index < MAX_MIG; index++)
            instances[gpu][index] = (struct nvmlDevice_st){gpu, index};
}

nvmlDevice_t mig_handle(int gpu, int index) { return &instances[0][0] + gpu * MAX_MIG + index; }

bool mig_mode(int gpu) { return control()->model->mig && gpu_control(gpu)->mig_instances >= 0; }

bool mig_exists(int gpu, int index)
{
    int count = gpu_control(gpu)->mig_instances;
    bool hole = count >= 3 && count < MAX_MIG;
    return mig_mode(gpu) && index < count + hole && !(hole && index == 1);
}

unsigned mig_gpu_instance(int index) { return FIRST_GPU_INSTANCE + (unsigned)index; }

void mig_uuid(int gpu, int index, char out[NVML_DEVICE_UUID_V2_BUFFER_SIZE])
{
    snprintf(out, NVML_DEVICE_UUID_V2_BUFFER_SIZE, "MIG-00000000-0000-4000-8000-%08x%02x%02x", 1u, (unsigned)gpu & 0xff,
             (unsigned)index & 0xff);
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *currentMode, unsigned int *pendingMode)
{
    ENTER_GPU(device);
    NEED(currentMode && pendingMode);
    SUPPORT(control()->model->mig);
    *currentMode = *pendingMode = mig_mode(device->gpu) ? NVML_DEVICE_MIG_ENABLE : NVML_DEVICE_MIG_DISABLE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *isMigDevice)
{
    ENTER_ANY(device);
    NEED(isMigDevice);
    *isMigDevice = device->mig >= 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count)
{
    ENTER_GPU(device);
    NEED(count);
    *count = mig_mode(device->gpu) ? MAX_MIG : 0; /* nvml.h: zero if MIG is not enabled */
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *migDevice)
{
    ENTER_GPU(device);
    NEED(migDevice);
    SUPPORT(control()->model->mig);
    NEED(index < MAX_MIG);
    if (!mig_exists(device->gpu, (int)index))
        return NVML_ERROR_NOT_FOUND;
    *migDevice = mig_handle(device->gpu, (int)index);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t migDevice, nvmlDevice_t *device)
{
    ENTER_ANY(migDevice);
    NEED(device && migDevice->mig >= 0);
    *device = gpu_handle(migDevice->gpu);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id)
{
    ENTER_ANY(device);
    NEED(id);
    SUPPORT(device->mig >= 0);
    *id = mig_gpu_instance(device->mig);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int *id)
{
    ENTER_ANY(device);
    NEED(id);
    SUPPORT(device->mig >= 0);
    *id = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
    ENTER_ANY(device);
    NEED(attributes);
    SUPPORT(device->mig >= 0);
    *attributes = (nvmlDeviceAttributes_t){.multiprocessorCount = control()->model->sms / 8, .sharedCopyEngineCount = 1,
                                           .sharedDecoderCount = 1, .sharedJpegCount = 1, .gpuInstanceSliceCount = 1,
                                           .computeInstanceSliceCount = 1, .memorySizeMB = 9728};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAttributes(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
    return nvmlDeviceGetAttributes_v2(device, attributes);
}
