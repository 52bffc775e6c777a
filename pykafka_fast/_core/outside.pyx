# SPDX-License-Identifier: Apache-2.0
"""Calls to the log and to loops of asyncio, out of which no exception may come: others wait for their turn."""

from cpython.exc cimport PyErr_SetObject, PyErr_WriteUnraisable

from pykafka_fast.log import get_logger

logger = get_logger("pykafka_fast.delivery")


cdef void complain() noexcept:
    """A callback has raised. What the log raises then goes to sys.unraisablehook()."""
    try:
        logger.exception("Error processing callback")
    except BaseException as error:
        unraisable(error)


cdef void unraisable(error) noexcept:
    """Not left to Cython, which ends the process when it is SystemExit."""
    PyErr_SetObject(type(error), error)
    PyErr_WriteUnraisable(logger)


def resolve_all(futures):
    """Runs in the loop: the awaiting tasks look at their records themselves."""
    for future in futures:
        if not future.done():
            future.set_result(None)


cdef void wake_loop(loop, list futures) noexcept:
    """What a loop of the user's own raises, or the log, is no reason for others to wait for ever."""
    try:
        try:
            loop.call_soon_threadsafe(resolve_all, futures)
        except RuntimeError:  # the loop was closed; nobody waits in it any more
            logger.debug("an event loop was closed while %d of its records were being delivered", len(futures))
        except BaseException:
            logger.exception("%r did not take the outcomes of %d records that are awaited there", loop, len(futures))
    except BaseException as error:
        unraisable(error)
