# SPDX-License-Identifier: Apache-2.0
"""The reader: a small process that holds the driver, and its supervisor in the agent.

A wedged driver call never returns and leaves its process unkillable; threads share the driver's lock; and
span decoding would disturb the sampling clock. So NVML lives in a process of its own.
"""
