"""Connections from addresses of one's own choice: each line of the input is `SOURCE EDGE COUNT stay|go`. For each it prints how many of
them were served, which is that something answered the beginning of a handshake. Those that stay are there until the end."""

import socket
import ssl
import sys

PORT = 8443
PATIENCE = 60
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
stay = []


def beginning():
    """What a client says first."""
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(heard, said)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return said.read()


def serves(connection, edge):
    try:
        connection.connect((edge, PORT))
        connection.sendall(beginning())
        return len(connection.recv(1)) == 1
    except ConnectionError:
        return False


for line in sys.stdin:
    source, edge, count, then = line.split()
    served = 0
    for _ in range(int(count)):
        connection = socket.socket()
        connection.settimeout(PATIENCE)
        connection.bind((source, 0))
        if serves(connection, edge):
            served += 1
        if then == "stay":
            stay.append(connection)
        else:
            connection.close()
    print(served, flush=True)
