#!/usr/bin/env bash
# NVRTC 13.5: --fmad=false keeps a * b + c of halves apart in a cubin, and is lost where the same program travels as PTX.
#
# One would guess: the option decides while C++ becomes PTX, as it does for float and double, whose PTX says mul.rn and add.rn.
# So one PTX gives the same bits whoever assembles it: NVRTC itself, ptxas, nvJitLink or the driver of a newer card.
# What happens: cuda_fp16.h and cuda_bf16.h multiply and add by inline PTX without a rounding (mul.f16, add.f16, mul.bf16, …),
# which PTX lets an assembler contract. NVRTC tells its own assembler not to. Nothing in the PTX says so: ptxas and nvJitLink,
# whose defaults are to contract, make one HFMA2 of it. nvJitLink's own -fma=0 changes nothing (it speaks of LTO);
# -Xptxas=--fmad=false does.
# What follows: a program that compiles cubins for the cards it knows and keeps PTX for later ones rounds halves twice on the
# first and once on the second, from one source and one set of options. Who wants equal bits takes __hmul_rn and __hadd_rn,
# which say mul.rn, or computes in float.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check nvidia-cuda-nvrtc==13.5.37 nvidia-nvjitlink==13.5.37 \
  nvidia-cuda-nvdisasm==13.5.37 nvidia-cuda-nvcc==13.5.37 nvidia-cuda-runtime==13.5.37 nvidia-cuda-cccl==13.3.5.0.6 \
  nvidia-cuda-crt==13.5.37
env/bin/pip list 2>/dev/null | grep nvidia

cat >try.py <<'CODE'
import ctypes, glob, subprocess, sys

ROOT = glob.glob("env/lib/python3*/site-packages/nvidia/cu13")[0]
nvrtc = ctypes.CDLL(f"{ROOT}/lib/libnvrtc.so.13")
linker = ctypes.CDLL(f"{ROOT}/lib/libnvJitLink.so.13")


def texts(options):
    return len(options), (ctypes.c_char_p * len(options))(*[o.encode() for o in options])


def fetch(size, get, handle):
    count = ctypes.c_size_t()
    assert size(handle, ctypes.byref(count)) == 0
    data = ctypes.create_string_buffer(count.value)
    assert get(handle, data) == 0
    return data.raw


def compile(source):
    """cubin and PTX"""
    program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"k.cu", 0, None, None) == 0
    assert nvrtc.nvrtcCompileProgram(program, *texts(["-arch=sm_90", "--fmad=false", f"-I{ROOT}/include"])) == 0
    cubin = fetch(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    return cubin, fetch(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program).rstrip(b"\0")


def link(ptx, *options):
    handle = ctypes.c_void_p()
    assert linker.nvJitLinkCreate(ctypes.byref(handle), *texts(["-arch=sm_90", *options])) == 0
    assert linker.nvJitLinkAddData(handle, 2, ptx + b"\0", len(ptx) + 1, b"k.ptx") == 0  # 2: PTX
    assert linker.nvJitLinkComplete(handle) == 0
    return fetch(linker.nvJitLinkGetLinkedCubinSize, linker.nvJitLinkGetLinkedCubin, handle)


def assemble(ptx):
    open("k.ptx", "wb").write(ptx)
    subprocess.run([f"{ROOT}/bin/ptxas", "-arch=sm_90", "k.ptx", "-o", "k.cubin"], check=True)
    return open("k.cubin", "rb").read()


def arithmetic(cubin):
    open("x.cubin", "wb").write(cubin)
    code = subprocess.run([f"{ROOT}/bin/nvdisasm", "-c", "x.cubin"], stdout=subprocess.PIPE, text=True, check=True).stdout
    words = [line.split("*/")[1].split()[0] for line in code.splitlines() if line.lstrip().startswith("/*") and ";" in line]
    return " ".join(w for w in words if w.split(".")[0] in ("FMUL", "FADD", "FFMA", "HMUL2", "HADD2", "HFMA2"))


SOURCE = """#include <cuda_fp16.h>
#include <cuda_bf16.h>
extern "C" __global__ void k(TYPE* x) { x[0] = FORMULA; }"""
APART = "x[1] * x[2] + x[3]"
seen = {}
for name, type, formula in (
    ("float", "float", APART),
    ("half", "__half", APART),
    ("bfloat16", "__nv_bfloat16", APART),
    ("half, _rn", "__half", "__hadd_rn(__hmul_rn(x[1], x[2]), x[3])"),
):
    cubin, ptx = compile(SOURCE.replace("TYPE", type).replace("FORMULA", formula))
    for tool, made in (
        ("NVRTC", cubin),
        ("ptxas", assemble(ptx)),
        ("nvJitLink", link(ptx)),
        ("nvJitLink -fma=0", link(ptx, "-fma=0")),
        ("nvJitLink -Xptxas=--fmad=false", link(ptx, "-Xptxas=--fmad=false")),
    ):
        seen[name, tool] = arithmetic(made)
        print(f"{name:10} {tool:32} {seen[name, tool]}")

fused = {where for where, code in seen.items() if "FMA" in code}
wanted = {(name, tool) for name in ("half", "bfloat16") for tool in ("ptxas", "nvJitLink", "nvJitLink -fma=0")}
if fused != wanted:
    sys.exit(f"that has changed: {sorted(fused ^ wanted)}")
print("as described")
CODE
env/bin/python try.py
