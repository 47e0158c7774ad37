"""A connection's transport, with the ends that a plain one lacks: a close that lets the client read the answer.

A socket that is closed while something unread lies in it makes the kernel send a reset, at which the client's kernel
throws away the answer that has arrived already (RFC 9112, section 9.6).
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any

from gateway.server.limits import DISCARD_SECONDS, DISCARDED_BYTES, SILENCE_SECONDS

_FIRST_BYTES = b"HTTP/1.1 "
# Between two looks at whether a client that ended its side has gone altogether.
_GONE_SECONDS = 0.1


class Wire(asyncio.Transport):
    """Writes like the transport below it, and closes with care.

    Attributes:
        closing: whether nothing more will be read from or written to the client, as far as the protocol is concerned.
        held: whether `hold` has stopped reading.
    """

    def __init__(self, below: asyncio.Transport, send_seconds: float, may_still_send: Callable[[], bool]) -> None:
        """Wrap a transport.

        Args:
            below: of a connected socket.
            send_seconds: after so long without a byte taken by the client the connection is cut.
            may_still_send: returns whether the client has not sent all of its request, or sends more.
        """
        super().__init__()
        self.closing = self.held = False
        self._may_still_send = may_still_send
        self._below = below
        self._send_seconds = send_seconds
        self._loop = asyncio.get_running_loop()
        self._paused = False
        self._discarded = self._seen = self._silences = 0
        self._begun = self._is_lost = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport below knows."""
        return self._below.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the kernel has not taken yet."""
        return self._below.get_write_buffer_size()

    def is_closing(self) -> bool:
        """Return whether the connection is closed or about to be."""
        return self.closing or self._below.is_closing()

    # Reading: the request's own back pressure and the connection's, each of which stops it.

    def pause_reading(self) -> None:
        """Stop reading until `resume_reading`."""
        self._paused = True
        self._apply()

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        self._paused = False
        self._apply()

    def hold(self, held: bool) -> None:
        """Stop reading, or undo that, whatever the request that is being answered would like."""
        self.held = held
        self._apply()

    def _apply(self) -> None:
        if self._below.is_closing():
            return
        if self._paused or self.held:
            self._below.pause_reading()
        else:
            self._below.resume_reading()

    # Writing.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write a piece of an answer."""
        if self._begun:
            self._begun = False
            data = data[len(_FIRST_BYTES) :]
        self._below.write(data)

    def probe(self) -> None:
        """Find out whether the client that ended its side has gone; if so, the connection is lost.

        To end the sending side (`shutdown(SHUT_WR)`) and to close the socket look the same from here, until something
        is written: a closed one answers with a reset. What every answer begins with can be written before the answer.
        """
        self._below.write(_FIRST_BYTES)
        self._begun = True
        self._look()

    def _look(self) -> None:
        if not self._begun or self._below.is_closing():
            return
        if self._error():
            self._below.abort()
        else:
            self._start("look", _GONE_SECONDS, self._look)

    def _error(self) -> int:
        try:
            return int(self._below.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except OSError as error:
            return error.errno or 1

    def watch(self) -> None:
        """Cut the connection once the client has taken nothing for its time, until `unwatch`."""
        self._seen = self._waiting()
        self._start("send", self._send_seconds, self._check_progress)

    def unwatch(self) -> None:
        """End `watch`, as what was written has gone out."""
        if not self.closing:
            self._stop("send")

    def _check_progress(self) -> None:
        waiting = self._waiting()
        if waiting >= self._seen:
            self._below.abort()
        elif self.get_write_buffer_size():
            self.watch()

    def _waiting(self) -> int:
        """Return the bytes that the client has not taken: the kernel's own buffer can hide minutes of a slow one."""
        queued = struct.pack("i", 0)
        with contextlib.suppress(OSError):  # a system without this call
            queued = fcntl.ioctl(self.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return int(struct.unpack("i", queued)[0]) + self.get_write_buffer_size()

    # The end.

    def close(self) -> None:
        """End the connection when the answer has gone out; while the client still sends, read on and throw it away."""
        if self.closing:
            return
        self.closing = True
        if self._may_still_send() and not self._below.is_closing():
            if self._below.can_write_eof():  # not with TLS
                try:
                    self._below.write_eof()
                except OSError:  # the client reset the connection, which has not been noticed yet
                    self._below.abort()
                    return
            self.held = self._paused = False
            self._apply()
            self._start("silence", SILENCE_SECONDS, self._end_silence)
            self._start("discard", DISCARD_SECONDS, self._below.abort)
        else:
            self.finish()

    def discard(self, data: bytes) -> None:
        """Throw away what the client sent after its answer."""
        self._discarded += len(data)
        self._silences = 0
        if self._discarded > DISCARDED_BYTES:
            self._below.abort()

    def _end_silence(self) -> None:
        self._silences += 1
        if self._silences > 1:
            self._below.abort()
        else:
            self._start("silence", SILENCE_SECONDS, self._end_silence)

    def finish(self) -> None:
        """Close when what was written has gone out, without reading more."""
        self.closing = True
        if not self._below.is_closing():
            self._below.close()
        if self.get_write_buffer_size():
            self.watch()

    def end_within(self, seconds: float) -> None:
        """Close at once after some seconds, whatever the client does until then."""
        self._start("end", seconds, self._below.abort)

    def abort(self) -> None:
        """Close at once, whatever has not gone out."""
        self.closing = True
        self._below.abort()

    def lost(self) -> None:
        """Stop all timers, as the connection is gone, and let none begin: it may be closed once more."""
        self._is_lost = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _start(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        self._stop(name)
        if not self._is_lost:
            self._timers[name] = self._loop.call_later(seconds, action)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
