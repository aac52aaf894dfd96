# SPDX-License-Identifier: Apache-2.0
"""OTLP as bytes: taken apart without a change to what is passed on, and put together again. No I/O."""
