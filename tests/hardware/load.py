# SPDX-License-Identifier: Apache-2.0
"""Keeps GPU 0 busy for a while: `python -m tests.hardware.load SECONDS`.

Matrix products in bfloat16 with torch where it is installed; otherwise a kernel of fused multiply-adds through
the CUDA driver's own interface, which needs nothing but the driver. Prints `running` when the GPU works; exit
code 3 when neither is possible.
"""

import ctypes
import sys
import time
from collections.abc import Callable

_PTX = b"""
.version 7.0
.target sm_70
.address_size 64
.visible .entry spin(.param .u64 out, .param .u32 count)
{
    .reg .pred %p;
    .reg .f32 %f<4>;
    .reg .b32 %r<3>;
    .reg .b64 %rd<2>;
    ld.param.u64 %rd0, [out];
    ld.param.u32 %r0, [count];
    cvta.to.global.u64 %rd1, %rd0;
    mov.u32 %r1, 0;
    mov.f32 %f0, 0f3F800001;
    mov.f32 %f1, 0f3F7FFFFF;
    mov.f32 %f2, 0f33800000;
AGAIN:
    fma.rn.f32 %f0, %f0, %f1, %f2;
    fma.rn.f32 %f0, %f0, %f1, %f2;
    fma.rn.f32 %f0, %f0, %f1, %f2;
    fma.rn.f32 %f0, %f0, %f1, %f2;
    add.u32 %r1, %r1, 1;
    setp.lt.u32 %p, %r1, %r0;
    @%p bra AGAIN;
    st.global.f32 [%rd1], %f0;
    ret;
}
"""
# By arithmetic some 25 ms a launch on an H100, so that the pause between two does not show.
_BLOCKS, _THREADS, _TURNS = 4096, 256, 100_000


class NoLoadError(RuntimeError):
    """The GPU cannot be kept busy this way."""


def main() -> int:
    """Run until the time is over."""
    until = time.monotonic() + float(sys.argv[1])
    for make in (_with_torch, _with_driver):
        try:
            work = make()
            work()
        except (ImportError, OSError, RuntimeError) as error:
            print(f"{make.__name__}: {type(error).__name__}: {error}", flush=True)
            continue
        print("running", flush=True)
        while time.monotonic() < until:
            work()
        return 0
    return 3


def _with_torch() -> Callable[[], None]:
    import torch  # type: ignore[import-not-found,unused-ignore]

    if not torch.cuda.is_available():
        message = "torch sees no GPU"
        raise NoLoadError(message)
    left = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    right = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)

    def work() -> None:
        for _ in range(50):
            torch.matmul(left, right)
        torch.cuda.synchronize()

    return work


def _with_driver() -> Callable[[], None]:
    cuda = ctypes.CDLL("libcuda.so.1")

    def call(name: str, *arguments: object) -> None:
        if code := getattr(cuda, name)(*arguments):
            message = f"{name} answers {code}"
            raise NoLoadError(message)

    context, module, function = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    memory, device = ctypes.c_uint64(), ctypes.c_int()
    call("cuInit", ctypes.c_uint(0))
    call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxSetCurrent", context)
    call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(_PTX))
    call("cuModuleGetFunction", ctypes.byref(function), module, ctypes.c_char_p(b"spin"))
    call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(4))
    turns = ctypes.c_uint32(_TURNS)
    # `cast` keeps what it points to alive after this function, which a bare address does not.
    parameters = (ctypes.c_void_p * 2)(
        ctypes.cast(ctypes.pointer(memory), ctypes.c_void_p), ctypes.cast(ctypes.pointer(turns), ctypes.c_void_p)
    )
    one, zero = ctypes.c_uint(1), ctypes.c_uint(0)
    grid = (ctypes.c_uint(_BLOCKS), one, one, ctypes.c_uint(_THREADS), one, one)

    def work() -> None:
        call("cuLaunchKernel", function, *grid, zero, ctypes.c_void_p(), parameters, ctypes.c_void_p())
        call("cuCtxSynchronize")

    return work


if __name__ == "__main__":
    sys.exit(main())
