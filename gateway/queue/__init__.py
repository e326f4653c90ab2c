"""The durable queue between intake and delivery.

**Front** (`gateway.queue.batching`). Intake puts the events of a request into the queue and waits
for a future. Events that arrive during a write go into the next write: one write, one fsync, many
responses. The bytes that wait are bounded. Over the bound `put` raises `QueueFull`, and the caller
sheds.

**Feed** (`gateway.queue.memory_feed`). The newest events stay in memory, bounded in bytes. So a
destination that has caught up never reads the disk.

**Store** (`gateway.queue.disk`, `gateway.queue.memory`, or the store of a plugin). The store gives
each event an offset. It keeps the event until every destination has finished with it *and* the
retention time has passed.

Format on disk
--------------
``<data_dir>/queue/`` holds *segments*. A segment is a file, named after the offset of its first
event::

    00000000000000000000.seg     magic "HGQ1", u32 version, u64 first offset, u32 CRC-32 of these
        frame                    header, then payload; each write stores one frame
        frame
        ...

Numbers are little-endian. A frame's header has 44 bytes: magic ``HGFR``, u32 number of events, u64
first offset, u64 time of writing in ms, u32 bytes of payload, u32 bytes before compression, u32
CRC-32 of the payload, u32 reserved, u32 CRC-32 of the header before it. The payload is a JSON array
of events, compressed with zstd. Some events in it are sealed together
(`gateway.events.envelope.sealed`). ``zstd -d`` and any JSON tool can read what is left of a queue.
Every release reads what earlier ones have written. A release that does not know the keys `context`
and `integrations` of sealed events reads these events without what stood beside their batch: let it
begin with an empty queue.

The file ``identity`` beside the segments holds the queue's name (`gateway.queue.queue_id`). In a
folder that was emptied, offsets begin at 0 again. The name tells destinations that these are other
events.

The file ``epochs`` names the events of each run (`gateway.queue.epochs`), as offsets are given out
again after the end of the queue was lost or a backup was restored.

Invariants
----------
1. Offsets are dense within a segment, are never reused, and grow with time.
2. A frame is acknowledged only after the fsync that covers it has returned.
3. A segment ends where the next one begins. A frame at or past the first offset of the next segment
   was never acknowledged and does not exist.
4. Only the newest segment is written to. After a failed write or fsync, nothing is appended to that
   file any more: its pages may have left memory without reaching the disk. The file is cut back to
   its last acknowledged frame, and a new segment begins.
5. A segment is removed only when all destinations have finished with it.
6. A finished segment is never changed in place. To erase events, a copy without them replaces the
   whole file (`gateway.queue.rewrite`).

Recovery
--------
Opening the store scans the newest segment. Bytes after the last good frame are a *torn tail*, the
trace of a crash. They were never acknowledged, and are cut off. Bad bytes with a good frame after
them are *damage*. They are copied to ``queue/quarantine/``, the loss is reported with its offsets,
and readers continue after it. The good frames are synced before they count, as a process that was
killed may have left frames that are only in memory. Older segments are checked frame by frame as
they are read.
"""
