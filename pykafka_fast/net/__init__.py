# SPDX-License-Identifier: Apache-2.0
"""Connections to brokers: name look-up, set-up, hand-shake, requests, back-off.

Nothing here blocks except the look-up threads of ``resolver``; the sender's selector drives the rest.
Every point in time is an int in nanoseconds of ``time.monotonic_ns()``, or of the clock passed in.
"""
