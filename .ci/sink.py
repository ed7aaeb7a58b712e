"""A name server and a proxy on loopback that note who asks. Nothing in this project should: `sink.py LOG` writes a line for each question, first of all `ready`.

usage: sink.py LOG [--no-dns]
"""

import socket
import sys
import threading

PROXY, DNS = 3128, 53


def name_asked(packet: bytes) -> str:
    "The name in a DNS question"
    labels, at = [], 12
    while at < len(packet) and packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii", "replace"))
        at += 1 + packet[at]
    return ".".join(labels)


def serve_names(server: socket.socket, note) -> None:
    "Note each question and answer at once that there is no such name"
    while True:
        packet, peer = server.recvfrom(4096)
        note(f"dns {name_asked(packet)}")
        server.sendto(packet[:2] + b"\x81\x83" + packet[4:6] + b"\0" * 6 + packet[12:], peer)


def serve_proxy(server: socket.socket, note) -> None:
    "Note the first line of each request and refuse it"
    while True:
        client, _ = server.accept()
        with client:
            client.settimeout(5)
            try: asked = client.recv(4096)
            except OSError: asked = b"a connection without a request"
            note("proxy " + asked.split(b"\r\n")[0].decode("ascii", "replace"))
            client.sendall(b"HTTP/1.1 502 No network here\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def main(log: str, *options: str) -> None:
    lock = threading.Lock()

    def note(line: str) -> None:
        with lock, open(log, "a", encoding="utf-8") as file: file.write(line + "\n")

    doors = [(serve_proxy, socket.create_server(("127.0.0.1", PROXY)))]
    if "--no-dns" not in options:
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind(("127.0.0.1", DNS))
        doors.append((serve_names, names))
    threads = [threading.Thread(target=serve, args=(server, note)) for serve, server in doors]
    for thread in threads: thread.start()
    note("ready")


if __name__ == "__main__": main(*sys.argv[1:])
