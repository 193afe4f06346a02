"""The GPUs of this machine, asked of NVIDIA's driver, which needs neither torch nor a toolkit."""

import ctypes
from dataclasses import dataclass

DRIVER = "libcuda.so.1"
MAJOR, MINOR = 75, 76
"""CUdevice_attribute's numbers for the two halves of a compute capability."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device."""

    name: str
    """As NVIDIA calls it."""
    architecture: str
    """Its compute capability, such as `8.9`."""


def gpus(driver: str = DRIVER) -> tuple[Gpu, ...]:
    """Devices in CUDA's order, so that the first is what CUDA takes; none without a driver.

    CUDA_VISIBLE_DEVICES hides devices here as it does everywhere.
    """
    try:
        cuda = ctypes.CDLL(driver)
    except OSError:
        return ()
    count = ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(_gpu(cuda, index) for index in range(count.value))


def _gpu(cuda: ctypes.CDLL, index: int) -> Gpu:
    device, value = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, len(name), device)
    halves: list[str] = []
    for attribute in (MAJOR, MINOR):
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        halves.append(str(value.value))
    return Gpu(name.value.decode(), ".".join(halves))
