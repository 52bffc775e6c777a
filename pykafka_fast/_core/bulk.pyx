# SPDX-License-Identifier: Apache-2.0
"""Door to the appending of many records (csrc/pkf_bulk.h): what send_many() does where nothing of the user's runs."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from pykafka_fast._core.accumulator cimport Accumulator, Topic, serve_signals
from pykafka_fast._core.column cimport Column, HeaderLists, Numbers
from pykafka_fast._core.csrc cimport (
    PKF_E_BUSY,
    PKF_E_INVALID,
    PKF_E_MALFORMED,
    PKF_E_PARTIAL,
    PKF_OK,
    pkf_accum,
    pkf_accum_forked,
    pkf_accum_ref,
    pkf_accum_unref,
)
from pykafka_fast._core.csrc_bulk cimport (
    pkf_bulk,
    pkf_bulk_append,
    pkf_bulk_check,
    pkf_bulk_end,
    pkf_bulk_init,
    pkf_bulk_set_rows,
    pkf_column_check,
    pkf_range_init,
    pkf_rows,
)
from pykafka_fast._core.range cimport RangeFuture, new_range
from pykafka_fast._core.waiting cimport slice_of_work
from pykafka_fast.errors import ProducerForkedError

#: What Bulk.check() says is wrong with a row.
MALFORMED = PKF_E_MALFORMED
NOTHING = PKF_E_INVALID

cdef enum:
    SMALL_BYTES = 65_536  # up to here the copy is not worth giving the GIL up
    SMALL_ROWS = 1_024


cdef class Bulk:
    """One send_many(): its rows, and how far they have been taken."""

    cdef pkf_accum *accum  # a reference of ours: when this goes, the objects around it may have gone
    cdef Topic topic
    cdef Column keys
    cdef Column values
    cdef readonly RangeFuture future  # of the rows that were taken
    cdef HeaderLists headers
    cdef int32_t *partitions
    cdef pkf_rows rows    # of the piece
    cdef pkf_bulk *c
    cdef Py_ssize_t next  # first row of the next piece
    cdef int64_t bytes    # of all keys and values, once they were checked
    cdef bint loaded      # rows of the piece are being taken
    cdef int64_t patience_ns

    def __init__(self, Accumulator accumulator not None, Topic topic, Column values not None, keys, headers,
                 partition, int64_t now_ms, timestamps, double patience):
        """keys: Column or None; headers: HeaderLists or None; partition: int, Numbers or None; timestamps: Numbers or
        None, which means now_ms. patience: seconds that one wait for memory may take. topic: None until into()."""
        cdef Py_ssize_t count = len(values)
        self.accum = accumulator.c
        pkf_accum_ref(self.accum)
        self.values = values
        self.keys = Column("key", count) if keys is None else keys
        self.headers = headers
        self.future = new_range()
        pkf_range_init(&self.future.c, <int32_t> count, now_ms)
        memset(&self.rows, 0, sizeof(pkf_rows))
        self.rows.partition = -1
        self.rows.headers.size = -1
        if isinstance(partition, Numbers):
            self.partitions = narrow(<Numbers> partition)
        elif partition is not None:
            self.rows.partition = partition
        if headers is not None and self.headers.rows is None:
            self.rows.headers = self.headers.lists[0]
        if timestamps is not None:
            take_timestamps(self, <Numbers> timestamps, now_ms)
        self.c = <pkf_bulk *> malloc(sizeof(pkf_bulk))
        if self.c == NULL:
            raise MemoryError
        self.patience_ns = <int64_t> (min(patience, 1e9) * 1e9)
        pkf_bulk_init(self.c, NULL, &self.future.c, self.patience_ns)
        if topic is not None:
            self.into(topic)

    def __dealloc__(self):
        if self.c != NULL:
            if not pkf_accum_forked(self.accum):
                pkf_bulk_end(self.accum, self.c)
            free(self.c)
        free(self.partitions)
        if self.accum != NULL:
            pkf_accum_unref(self.accum)

    def into(self, Topic topic not None):
        """Where the rows go. Before any is taken."""
        self.topic = topic
        pkf_bulk_init(self.c, topic.c, &self.future.c, self.patience_ns)

    def end(self):
        """Nothing more is taken: give back memory and place in the queue, close the caller's buffers."""
        if not pkf_accum_forked(self.accum):
            pkf_bulk_end(self.accum, self.c)
        self.values.close()
        self.keys.close()

    def check(self):
        """Look at every row before any is taken: None, or (what is wrong, row, name of the column).

        TypeError: an object that is no buffer; it names the row.
        """
        cdef pkf_accum *accum = self.accum
        cdef int64_t size = 0, wrong = 0
        cdef int32_t count
        cdef int status
        cdef Py_ssize_t row = 0
        self.bytes = 0
        while row < self.values.length:
            count = open_piece(self, row)
            if count > SMALL_ROWS:
                with nogil:
                    status = pkf_bulk_check(accum, &self.rows, &size, &wrong)
            else:
                status = pkf_bulk_check(accum, &self.rows, &size, &wrong)
            if status != PKF_OK:
                return status, row + wrong, blamed(self, wrong)
            self.bytes += size
            row += count
        return None

    def append(self):
        """Take rows until all are taken (0), or a status says why not. Can be called again, and goes on where it was.

        Serves signals, whose handlers may raise.
        """
        cdef int status
        if pkf_accum_forked(self.accum):
            raise ProducerForkedError("the process was forked while these records were being sent; send them again")
        while self.next < self.values.length or self.loaded:
            if not self.loaded:
                open_piece(self, self.next)
                self.rows.bytes = self.bytes * self.rows.count // self.values.length
                pkf_bulk_set_rows(self.c, &self.rows)
                self.next += self.rows.count
                self.loaded = True
            status = append_piece(self)
            if status != PKF_OK:
                return status
            self.loaded = False
        return PKF_OK

    @property
    def partition(self):
        """The partition that must be known before the next row can be taken; None: the topic."""
        return self.c.partition if self.c.partition >= 0 else None


cdef int32_t open_piece(Bulk self, Py_ssize_t row) except -1:
    """The rows from `row` on that lie in one piece of every column."""
    cdef int32_t most = <int32_t> min(self.values.length - row, <Py_ssize_t> 0x7fffffff)
    most = self.values.piece(row, most, &self.rows.values)
    most = self.keys.piece(row, most, &self.rows.keys)
    self.rows.count = most
    if self.partitions != NULL:
        self.rows.partitions = self.partitions + row
    if self.headers is not None and self.headers.rows is not None:
        self.headers.piece(row, most)
        self.rows.header_lists = self.headers.lists
    return most


cdef int32_t *narrow(Numbers numbers) except NULL:
    cdef int32_t *narrowed = <int32_t *> malloc(max(<Py_ssize_t> 1, numbers.length) * sizeof(int32_t))
    cdef Py_ssize_t row
    if narrowed == NULL:
        raise MemoryError
    for row in range(numbers.length):
        narrowed[row] = <int32_t> numbers.c[row]
    return narrowed


cdef int take_timestamps(Bulk self, Numbers numbers, int64_t now_ms) except -1:
    """They are the range's from now on, which tells metadata of them."""
    cdef Py_ssize_t row
    for row in range(numbers.length):
        if numbers.c[row] < 0:
            numbers.c[row] = now_ms
    self.future.c.timestamps = numbers.c
    numbers.c = NULL
    return 0


cdef str blamed(Bulk self, int64_t row):
    cdef int64_t wrong
    if pkf_column_check(&self.rows.values, row, 1, &wrong) != PKF_OK:
        return self.values.what
    return self.keys.what


cdef int append_piece(Bulk self) except? -99:
    cdef pkf_accum *accum = self.accum
    cdef pkf_bulk *bulk = self.c
    cdef int status
    cdef int64_t slice_ns
    if self.bytes <= SMALL_BYTES and self.values.length <= SMALL_ROWS:
        bulk.wait = False
        status = pkf_bulk_append(accum, bulk, 0)
        if status != PKF_E_BUSY:
            return status
    bulk.wait = True
    slice_ns = slice_of_work()
    status = PKF_E_PARTIAL
    while status == PKF_E_PARTIAL:
        with nogil:
            status = pkf_bulk_append(accum, bulk, slice_ns)
        serve_signals(accum, status)
    return status
