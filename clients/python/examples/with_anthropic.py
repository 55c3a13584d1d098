"""A model's memory tool kept in Turnlog. Offline: a small local server stands for Anthropic's API and follows a script.

    turnlog up
    pip install 'turnlog[anthropic]'
    python with_anthropic.py [http://127.0.0.1:8080]

With the real API, leave out `base_url` and give a model and a key.
"""

import json
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import anthropic

from turnlog_client import Client
from turnlog_client.frameworks.anthropic import TurnlogMemoryTool

NOTES = "/memories/ana.md"
SCRIPT: list[dict[str, Any]] = [
    {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "memory",
        "input": {"command": "create", "path": NOTES, "file_text": "Ana likes window seats."},
    },
    {"type": "text", "text": "I noted it."},
]


class Api(BaseHTTPRequestHandler):
    """Answers with the next block of the script."""

    steps = iter(SCRIPT)

    def do_POST(self) -> None:
        """One message."""
        self.rfile.read(int(self.headers["content-length"]))
        block = next(self.steps)
        message = {
            "id": "msg",
            "type": "message",
            "role": "assistant",
            "model": "script",
            "content": [block],
            "stop_reason": "tool_use" if block["type"] == "tool_use" else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        data = json.dumps(message).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


def main(url: str) -> None:
    """A run that writes a memory, and a look at it afterwards."""
    session_id = f"memory.{uuid.uuid4()}"
    api = HTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    with (
        Client(url) as client,
        anthropic.Anthropic(base_url=f"http://127.0.0.1:{api.server_port}", api_key="-") as model,
    ):
        runner = model.beta.messages.tool_runner(
            model="script",
            max_tokens=1_000,
            messages=[{"role": "user", "content": "I like window seats."}],
            tools=[TurnlogMemoryTool(client, session_id)],
        )
        answer = runner.until_done().content[0]
        print("the model says:", answer.text if answer.type == "text" else answer.type)
    api.shutdown()
    api.server_close()
    with Client(url) as client:
        print(TurnlogMemoryTool(client, session_id).call({"command": "view", "path": NOTES}))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080")
