# SPDX-License-Identifier: Apache-2.0
"""What comes in: OTLP over gRPC and HTTP. They bound, decode and count; what it means is for who consumes it."""
