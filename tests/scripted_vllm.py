"""A program that stands for vLLM: it reads its arguments as a test says, and answers chats as a test says."""

import os
import sys
from pathlib import Path

_SERVER = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
{beginning}
class Server(BaseHTTPRequestHandler):
    def say(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.say({"data": [{"id": arguments["--served-model-name"], "pid": os.getpid()}]})
    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"][-1]["content"]
        message = {"index": 0, "message": {"role": "assistant", "content": answer(prompt)}, "finish_reason": "stop"}
        self.say({"choices": [message], "usage": {"prompt_tokens": 20, "completion_tokens": 10}})
    def log_message(self, *args): pass
HTTPServer((arguments["--host"], int(arguments["--port"])), Server).serve_forever()
"""


def vllm_in(folder: Path, beginning: str) -> str:
    """Make a folder with the program, and a PATH that begins with it; `beginning` defines `arguments` and `answer(prompt)`."""
    folder.mkdir()
    program = folder / "vllm"
    program.write_text(f"#!{sys.executable}\n{_SERVER.replace('{beginning}', beginning.strip())}")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
