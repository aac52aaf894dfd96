# SPDX-License-Identifier: Apache-2.0
"""Exporters: each turns a snapshot into what somebody else reads. They change nothing."""
