# SPDX-License-Identifier: Apache-2.0
"""What is made of requests between the receivers and the exporters. No I/O, no threads, no clock of its own."""
