# SPDX-License-Identifier: Apache-2.0
"""A mock NVML library in C, so that the real nvidia-ml-py can be run without a GPU."""
