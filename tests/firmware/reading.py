"""What the gateway sells in check.py: a server that tells the temperature. Its port is its first line."""

from http.server import BaseHTTPRequestHandler, HTTPServer


class Reading(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"21.5 C\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Reading)
print(server.server_port, flush=True)
server.serve_forever()
