# SPDX-License-Identifier: Apache-2.0
"""The joulespan agent: reads a node's GPUs and links and joins them with the requests they serve."""
