"""python3 clients.py <library> <URL>: opens a stream with a library, and prints each event as a line of JSON."""
import asyncio
import json
import sys

library, url = sys.argv[1:]


class Parser:
    def __init__(self):
        self.event, self.data, self.id = "", [], ""

    def line(self, line):
        if not line:
            if self.data:
                data = "\n".join(self.data)
                print(json.dumps({"type": self.event or "message", "data": data[:100], "size": len(data), "id": self.id}), flush=True)
            self.event, self.data = "", []
            return
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "event":
            self.event = value
        elif name == "data":
            self.data.append(value)
        elif name == "id":
            self.id = value


def with_httpx(timeout):
    import httpx

    parser = Parser()
    with httpx.Client(timeout=timeout) as client, client.stream("GET", url, headers={"Accept": "text/event-stream"}) as response:
        for line in response.iter_lines():
            parser.line(line.rstrip("\n"))


async def with_aiohttp():
    import aiohttp

    parser = Parser()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        async with session.get(url, headers={"Accept": "text/event-stream"}) as response:
            async for line in response.content:
                parser.line(line.decode().rstrip("\n"))


{
    "httpx": lambda: with_httpx(5),
    "httpx+timeout": lambda: with_httpx(None),
    "aiohttp": lambda: asyncio.run(with_aiohttp()),
}[library]()
