# SPDX-License-Identifier: Apache-2.0
"""What switches call things, one module a kind: tables that say which of their names becomes which metric."""
