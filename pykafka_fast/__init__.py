# SPDX-License-Identifier: Apache-2.0
"""A fast synchronous Kafka producer for Python."""
