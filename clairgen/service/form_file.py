"""The file in a form that a browser sends, read as it comes and never held whole."""

from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from clairgen.errors import InputError


class FormFile:
    """The one file of a form whose body `content` is, of the type `content_type`. Raises InputError for another body."""

    def __init__(self, content_type: str, content: AsyncIterator[bytes]) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise InputError("this is not a form with a file")
        self._body = content
        self._name: str | None = None
        self._header = [bytearray(), bytearray()]
        self._parts = 0
        self._received = bytearray()
        self._is_whole = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin_part,
                    "on_header_begin": self._begin_header,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_part_data": lambda data, start, end: self._received.extend(data[start:end]),
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise InputError("the form cannot be read") from error

    async def name(self) -> str:
        """The name of the file, once its beginning has come. Raises InputError where none was chosen."""
        while self._name is None:
            if not await self._read():
                raise InputError("the form has no file")
        if not self._name:
            raise InputError("choose a file first")
        return self._name

    async def chunks(self) -> AsyncIterator[bytes]:
        """What the file holds."""
        while True:
            if self._received:
                yield bytes(self._received)
                self._received.clear()
            if not await self._read():
                break
        if self._received:
            yield bytes(self._received)
        if not self._is_whole:
            raise InputError("the file did not come whole; send it again")

    async def _read(self) -> bool:
        """Parse what comes next; whether anything came."""
        try:
            async for chunk in self._body:
                self._parser.write(chunk)
                return True
        except FormParserError as error:
            raise InputError("the form cannot be read") from error
        return False

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise InputError("the form has more than one file; send one at a time")

    def _begin_header(self) -> None:
        self._header = [bytearray(), bytearray()]

    def _end_header(self) -> None:
        if bytes(self._header[0]).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._header[1]))
            self._name = options.get(b"filename", b"").decode("utf-8", "replace")

    def _end(self) -> None:
        self._is_whole = True
