"""Framers of Twisted, for the tests of ours: /usr/bin/python3 twisted_peer.py serve KIND ADDRESS PORT answers each string with
its bytes in reverse; "call KIND ADDRESS PORT COUNT" sends strings of many sizes to a server that sends them back, and its exit
status says whether they came back as they were."""
import sys

from twisted.internet import protocol, reactor
from twisted.protocols import basic

LONGEST = 1 << 20


class Lines(basic.LineOnlyReceiver):
    MAX_LENGTH = LONGEST
    sendString = basic.LineOnlyReceiver.sendLine

    def lineReceived(self, line):
        self.stringReceived(line)


KINDS = {"netstring": basic.NetstringReceiver, "int8": basic.Int8StringReceiver, "int16": basic.Int16StringReceiver,
         "int32": basic.Int32StringReceiver, "lines": Lines}
mode, kind, address, port = sys.argv[1:5]


class Reverse(KINDS[kind]):
    MAX_LENGTH = LONGEST

    def stringReceived(self, string):
        self.sendString(string[::-1])


class Call(KINDS[kind]):
    MAX_LENGTH = LONGEST
    result = 1

    def connectionMade(self):
        longest = {"int8": 255, "int16": 65535}.get(kind, 200000)
        self.wanted = [bytes([65 + number % 26]) * (number * number * 37 % (longest + 1))
                       for number in range(int(sys.argv[5]))]
        self.wanted += [b"", b"x" * longest]
        for string in self.wanted:
            self.sendString(string)

    def stringReceived(self, string):
        if not self.wanted or self.wanted.pop(0) != string:
            print("another string came:", string[:60], flush=True)
            self.transport.abortConnection()
        elif not self.wanted:
            Call.result = 0
            self.transport.loseConnection()

    def connectionLost(self, reason):
        if reactor.running:
            reactor.stop()


if mode == "serve":
    reactor.listenTCP(int(port), protocol.Factory.forProtocol(Reverse), interface=address)
else:
    factory = protocol.ClientFactory.forProtocol(Call)
    factory.clientConnectionFailed = lambda *_: reactor.stop()
    reactor.connectTCP(address, int(port), factory)
reactor.run()
sys.exit(Call.result if mode == "call" else 0)
