# SPDX-License-Identifier: Apache-2.0
"""The same work done by several clients, in turns, each in a process of its own, against one broker."""
