# SPDX-License-Identifier: Apache-2.0
"""Records with a number each, faults from a seeded schedule, and an audit of what the topic holds in the end."""
