"""The batching queue: what intake puts in, what destinations read, and what survives a crash.

**Front** (`batching`). Intake hands over the events of a request and waits for a future. Whatever
arrives while a write is under way goes into the next write: one write, one fsync, many answers.
Bytes waiting are bounded; over the bound `put` raises `QueueFull` and the caller sheds.

**MemoryFeed** (`feed`). The newest events stay in memory, bounded in bytes, so that a destination
that is caught up never touches the disk.

**Store** (`disk`, `memory`, or a plugin's). Gives each event an offset and keeps it until every
destination has finished with it *and* retention has passed.

On disk
-------
``<data_dir>/queue/`` holds *segments*, each a file named after the offset of its first event::

    00000000000000000000.seg     magic "HGQ1" + u32 version + u64 first offset + u32 crc of those
        frame                    header, then payload; a frame is what one write stored
        frame
        ...

A frame's header is 44 bytes, little-endian: magic ``HGFR``, u32 number of events, u64 first offset,
u64 time of writing in ms, u32 bytes of payload, u32 bytes before compression, u32 CRC-32 of the
payload, u32 reserved, u32 CRC-32 of the header before it. The payload is a JSON array of events,
some of them sealed together (`gateway.events.envelope.sealed`), compressed with zstd: ``zstd -d``
and any JSON tool can read what is left of a queue.

``identity`` beside the segments names the queue (`gateway.queue.queue_id`): in a folder that was
emptied offsets begin at 0 again, and destinations must be able to tell.

Invariants
----------
1. Offsets are dense within a segment, never reused, and grow with time.
2. A frame is acknowledged only after the fsync that covers it returned.
3. A segment ends where the next one begins: a frame at or past the next segment's first offset was
   never acknowledged and does not exist.
4. Only the newest segment is written to. After a failed write or fsync nothing more is appended to
   that file (its pages may be gone from memory without having reached the disk): it is cut back to
   its last acknowledged frame and a new segment begins.
5. A segment is removed only when all destinations have finished with it.
6. A finished segment changes only by being replaced, as a whole, with a copy from which events were
   erased (`gateway.queue.rewrite`).

Recovery
--------
Opening the store scans the newest segment. Bytes after the last good frame that hold no further
good frame are a *torn tail*, the trace of a crash: cut off, as they were never acknowledged. A bad
frame with good ones after it is *damage*: its bytes are copied to ``queue/quarantine/``, the loss
is reported with its offsets, and readers go on after it. What was found good is synced before it
counts: a process that was killed may have left frames that are in memory only. Older segments are
checked frame by frame as they are read.
"""
