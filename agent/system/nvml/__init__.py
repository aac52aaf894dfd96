# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's management library: GPUs as small typed devices, real (pynvml) and simulated."""
