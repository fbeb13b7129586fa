"""Takes CloudEvents (HTTP, binary mode) on $PORT. An order is answered with an event, anything else with 204."""

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Consumer(BaseHTTPRequestHandler):
    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        print(self.headers["ce-type"], self.headers["ce-id"], data.decode(errors="replace"), flush=True)
        if self.headers["ce-type"] != "com.example.order.placed":
            self.send_response(204)
            self.end_headers()
            return
        reply = json.dumps({"order": json.loads(data), "by": "python"}).encode()
        self.send_response(200)
        self.send_header("ce-specversion", "1.0")
        self.send_header("ce-id", self.headers["ce-id"] + "-confirmed")
        self.send_header("ce-source", "/examples/python")
        self.send_header("ce-type", "com.example.order.confirmed")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *args):
        pass  # a line a request on standard error is not wanted


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Consumer)
server.daemon_threads = False  # so that server_close() waits for requests that were begun
# shutdown() waits for serve_forever(), which a signal handler interrupts: it has to be called from another thread.
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
