/* SPDX-License-Identifier: Apache-2.0 */
/* Handles and identity: index, UUID, serial, PCI address, names, versions. */
#include "mock.h"

static struct nvmlDevice_st gpus[MAX_GPUS];

__attribute__((constructor)) static void start(void)
{
    for (int i = 0; i < MAX_GPUS; i++)
        gpus[i] = (struct nvmlDevice_st){i, -1};
}

nvmlDevice_t gpu_handle(int gpu) { return &gpus[gpu]; }

bool is_handle(nvmlDevice_t device)
{
    if (device >= gpus && device < gpus + MAX_GPUS)
        return true;
    nvmlDevice_t first = mig_handle(0, 0);
    return device >= first && device < first + MAX_GPUS * MAX_MIG;
}

void gpu_uuid(int gpu, char out[NVML_DEVICE_UUID_V2_BUFFER_SIZE])
{
    snprintf(out, NVML_DEVICE_UUID_V2_BUFFER_SIZE, "GPU-00000000-0000-4000-8000-%012x", (unsigned)gpu);
}

static unsigned pci_bus(int gpu) { return 0x1b + 0x11u * (unsigned)gpu; }

static void pci_address(int gpu, char out[32], const char *format)
{
    snprintf(out, 32, format, 0, pci_bus(gpu), 0);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *deviceCount)
{
    ENTER();
    NEED(deviceCount);
    *deviceCount = control()->gpus;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount(unsigned int *deviceCount) { return nvmlDeviceGetCount_v2(deviceCount); }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    TRY(enter_call(__func__, index < MAX_GPUS ? (int)index : -1));
    NEED(device && index < control()->gpus);
    *device = &gpus[index];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

static nvmlDevice_t find_uuid(const char *uuid)
{
    char own[NVML_DEVICE_UUID_V2_BUFFER_SIZE];
    control_refresh(false);
    for (int gpu = 0; gpu < (int)control()->gpus; gpu++) {
        gpu_uuid(gpu, own);
        if (!strcmp(own, uuid))
            return &gpus[gpu];
        for (int index = 0; index < MAX_MIG; index++) {
            mig_uuid(gpu, index, own);
            if (mig_exists(gpu, index) && !strcmp(own, uuid))
                return mig_handle(gpu, index);
        }
    }
    return NULL;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    nvmlDevice_t found = uuid ? find_uuid(uuid) : NULL;
    TRY(enter_call(__func__, found ? found->gpu : -1));
    NEED(uuid && device);
    *device = found;
    return found ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByUUIDV(const nvmlUUID_t *uuid, nvmlDevice_t *device)
{
    NEED(uuid && uuid->type == NVML_UUID_TYPE_ASCII);
    VERSION(uuid, nvmlUUID_v1);
    nvmlDevice_t found = find_uuid(uuid->value.str);
    TRY(enter_call(__func__, found ? found->gpu : -1));
    NEED(device);
    *device = found;
    return found ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *pciBusId, nvmlDevice_t *device)
{
    unsigned domain, bus, slot;
    int gpu = -1;
    if (pciBusId && sscanf(pciBusId, "%x:%x:%x", &domain, &bus, &slot) == 3)
        for (int i = 0; i < (int)control()->gpus; i++)
            if (!domain && bus == pci_bus(i) && !slot)
                gpu = i;
    TRY(enter_call(__func__, gpu));
    NEED(pciBusId && device);
    *device = gpu < 0 ? NULL : &gpus[gpu];
    return gpu < 0 ? NVML_ERROR_NOT_FOUND : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *pciBusId, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByPciBusId_v2(pciBusId, device);
}

nvmlReturn_t nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
    unsigned long long number = serial ? strtoull(serial, NULL, 10) - 1320000000000ull : ~0ull;
    TRY(enter_call(__func__, number < MAX_GPUS ? (int)number : -1));
    NEED(serial && device);
    if (number >= control()->gpus)
        return NVML_ERROR_NOT_FOUND;
    *device = &gpus[number];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length)
{
    char text[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
    ENTER_ANY(device);
    snprintf(text, sizeof text, "%s%s", control()->model->name, device->mig < 0 ? "" : " MIG 1g.10gb");
    return set_text(name, length, text);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
    char text[NVML_DEVICE_UUID_V2_BUFFER_SIZE];
    ENTER_ANY(device);
    if (device->mig < 0)
        gpu_uuid(device->gpu, text);
    else
        mig_uuid(device->gpu, device->mig, text);
    return set_text(uuid, length, text);
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index)
{
    ENTER_ANY(device);
    NEED(index);
    *index = (unsigned)(device->mig < 0 ? device->gpu : device->mig);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length)
{
    char text[NVML_DEVICE_SERIAL_BUFFER_SIZE];
    ENTER_GPU(device);
    snprintf(text, sizeof text, "%llu", 1320000000000ull + (unsigned)device->gpu);
    return set_text(serial, length, text);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    char text[32];
    ENTER_ANY(device);
    NEED(pci);
    memset(pci, 0, sizeof *pci);
    pci->bus = pci_bus(device->gpu);
    pci->pciDeviceId = control()->model->pci_device;
    pci->pciSubSystemId = 0x16c110de;
    pci_address(device->gpu, text, "%04X:%02X:%02X.0");
    memcpy(pci->busIdLegacy, text, sizeof pci->busIdLegacy);
    pci_address(device->gpu, pci->busId, "%08X:%02X:%02X.0");
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t *pci) { return nvmlDeviceGetPciInfo_v3(device, pci); }
nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *pci) { return nvmlDeviceGetPciInfo_v3(device, pci); }

nvmlReturn_t nvmlDeviceGetPciInfoExt(nvmlDevice_t device, nvmlPciInfoExt_t *pci)
{
    ENTER_GPU(device);
    NEED(pci);
    VERSION(pci, nvmlPciInfoExt_v1);
    *pci = (nvmlPciInfoExt_t){.version = pci->version, .bus = pci_bus(device->gpu),
                              .pciDeviceId = control()->model->pci_device, .pciSubSystemId = 0x16c110de,
                              .baseClass = 3, .subClass = 2};
    pci_address(device->gpu, pci->busId, "%08X:%02X:%02X.0");
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *version, unsigned int length)
{
    ENTER_GPU(device);
    return set_text(version, length, control()->model->vbios);
}

nvmlReturn_t nvmlDeviceGetBoardPartNumber(nvmlDevice_t device, char *partNumber, unsigned int length)
{
    ENTER_GPU(device);
    return set_text(partNumber, length, control()->model->part_number);
}

nvmlReturn_t nvmlDeviceGetInforomImageVersion(nvmlDevice_t device, char *version, unsigned int length)
{
    ENTER_GPU(device);
    return set_text(version, length, "G520.0200.00.05");
}

nvmlReturn_t nvmlDeviceGetInforomVersion(nvmlDevice_t device, nvmlInforomObject_t object, char *version, unsigned int length)
{
    static const char *const versions[] = {"2.1", "7.16", "N/A", "N/A"};
    ENTER_GPU(device);
    NEED(object < NVML_INFOROM_COUNT);
    SUPPORT(object <= NVML_INFOROM_ECC);
    return set_text(version, length, versions[object]);
}

nvmlReturn_t nvmlDeviceGetGspFirmwareVersion(nvmlDevice_t device, char *version)
{
    ENTER_GPU(device);
    return set_text(version, NVML_GSP_FIRMWARE_VERSION_BUF_SIZE, control()->driver_version);
}

nvmlReturn_t nvmlDeviceGetGspFirmwareMode(nvmlDevice_t device, unsigned int *isEnabled, unsigned int *defaultMode)
{
    ENTER_GPU(device);
    NEED(isEnabled && defaultMode);
    *isEnabled = *defaultMode = 1;
    return NVML_SUCCESS;
}
