"""The Framer "mqtt" against mosquitto: its broker as the server, its clients against a Listener."""
import random
import subprocess

from netns import SERVER4, SERVER6
from peers import TAPS, Authority, cat, cat_open, listening, require_programs, wait_listening
from tap import check, check_equal, main, poll, test

PLAIN = ("--security", "disabled")


def broker(net, port=1883, lines="allow_anonymous true", tls=None):
    require_programs("mosquitto", "mosquitto_pub", "mosquitto_sub", "mosquitto_passwd")
    path = net.folder / f"mosquitto-{port}.conf"
    secure = f"certfile {tls[0]}\nkeyfile {tls[1]}\n" if tls else ""
    path.write_text(f"user root\npersistence false\nlog_type all\nlistener {port} {SERVER4}\n{secure}{lines}\n")
    process = net.server.spawn("mosquitto", "-c", path)
    wait_listening(net.server, process, port)
    return process


def subscriber(host, *arguments, to=SERVER4, port=1883):
    """mosquitto_sub, once the server has answered its SUBSCRIBE."""
    process = host.spawn("stdbuf", "-oL", "mosquitto_sub", "-d", "-h", to, "-p", port, *arguments)
    poll(lambda: b"Subscribed" in process.out, 30, "the subscription of mosquitto_sub")
    return process


def publish(host, *arguments, to=SERVER4, port=1883, stdin=b""):
    answer = host.run("mosquitto_pub", "-h", to, "-p", port, *arguments, stdin=stdin)
    check_equal(answer.status, 0, f"exit status of mosquitto_pub {arguments}: {answer.err!r}")


# ------------------------------------------------------------------------------------------------- the broker

# proves API-131
@test("broker: what is published comes back to who has subscribed, with each QoS")
def broker_and_back(net):
    log = broker(net)
    for qos in (0, 1, 2):
        answer = cat(net.client, *PLAIN, "-v", "--count", 200, "--framer",
                     f"mqtt:subscribe=a/#,subscribe-qos={qos},topic=a/b,qos={qos},client-id=me{qos},in-flight=7",
                     f"{SERVER4}:1883", stdin=b"".join(b"%d\n" % number for number in range(200)))
        check_equal(answer.status, 0, f"exit status with QoS {qos}: {answer.err[-300:]!r}")
        check_equal(answer.out, b"".join(b"%d\n" % number for number in range(200)), f"all in order, QoS {qos}")
        check(b"mqtt/topic=a/b" in answer.err and f"mqtt/qos={qos}".encode() in answer.err, "the metadata")
        poll(lambda: f"Received DISCONNECT from me{qos}".encode() in log.err, 30, "the DISCONNECT")


# proves API-131
@test("broker: mosquitto_pub's Messages come, a large one, an empty one and a retained one too")
def broker_from_pub(net):
    broker(net)
    large = random.Random(3).randbytes(3_000_000).replace(b"\n", b" ")
    publish(net.client, "-t", "kept/1", "-m", "retained", "-r", "-q", "1")
    process = cat_open(net.client, *PLAIN, "-v", "--framer", "mqtt:subscribe=kept/+,subscribe=in/#,subscribe-qos=2",
                       f"{SERVER4}:1883")
    poll(lambda: process.out == b"retained\n", 30, "what was retained")
    check(b"mqtt/retain=1" in process.err, "that it was")
    publish(net.client, "-t", "in/large", "-s", "-q", "2", stdin=large)
    poll(lambda: len(process.out) == 9 + len(large) + 1, 30, "a large one")
    check_equal(process.out[9:-1], large, "the large one")
    publish(net.client, "-t", "in/empty", "-n", "-q", "1")
    publish(net.client, "-t", "in/last", "-m", "end")
    poll(lambda: process.out.endswith(b"\n\nend\n"), 30, "an empty one, and another")


@test("broker: mosquitto_sub gets ours, with topics from the metadata")
def broker_to_sub(net):
    broker(net)
    process = subscriber(net.client, "-t", "#", "-v", "-q", "2")
    for qos in (0, 1, 2):
        answer = cat(net.client, *PLAIN, "--metadata", f"topic=out/{qos}", "--metadata", f"qos={qos}", "--count", 1,
                     "--keep-open", "--framer", "mqtt:subscribe=out/+", f"{SERVER4}:1883", stdin=b"hello\n")
        check_equal((answer.status, answer.out), (0, b"hello\n"), f"our own, QoS {qos}")
        poll(lambda: b"out/%d hello\n" % qos in process.out, 30, f"it, with QoS {qos}")


# proves API-132
@test("broker: a refusal fails the candidate with its words")
def broker_refuses(net):
    passwords, acl = net.folder / "passwords", net.folder / "acl"
    require_programs("mosquitto_passwd")
    check_equal(net.client.run("mosquitto_passwd", "-c", "-b", passwords, "anna", "right").status, 0, "a password")
    acl.write_text("user anna\ntopic readwrite mine/#\n")
    broker(net, lines=f"allow_anonymous false\npassword_file {passwords}\nacl_file {acl}")
    for options in ("mqtt", "mqtt:user=anna,password=wrong"):
        answer = cat(net.client, *PLAIN, "--framer", options, f"{SERVER4}:1883", stdin=b"x\n")
        check_equal(answer.status, 1, f"exit status with {options}")
        check(b"mqtt: the server refuses, with return code 5: the client is not authorised" in answer.err,
              f"its words: {answer.err!r}")
    answer = cat(net.client, *PLAIN, "--framer", "mqtt:user=anna,password=right,subscribe=mine/#,topic=mine/x",
                 "--count", 1, f"{SERVER4}:1883", stdin=b"yes\n")
    check_equal((answer.status, answer.out), (0, b"yes\n"), "with the right ones")


@test("broker: over TLS, where its other address does not answer")
def broker_tls(net):
    authority = Authority(net)
    tls = authority.issue("server.test")
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n{SERVER6} server.test\n")
    broker(net, 8883, tls=tls)
    answer = cat(net.client, "--cafile", authority.certificate, "--count", 1, "--framer",
                 "mqtt:subscribe=s,topic=s,qos=1", "server.test:8883", stdin=b"secret\n")
    check_equal((answer.status, answer.out), (0, b"secret\n"), f"over TLS: {answer.err!r}")


@test("broker: keep-alive keeps it, and the will comes when we vanish and not when we close")
def broker_keep_alive(net):
    log = broker(net)
    watcher = subscriber(net.client, "-t", "will/#")
    options = "mqtt:keep-alive=1,client-id=mortal,will-topic=will/1,will-message=gone,will-qos=1"
    process = cat_open(net.client, *PLAIN, "--framer", options, f"{SERVER4}:1883")
    poll(lambda: log.err.count(b"Received PINGREQ from mortal") >= 5, 30, "five pings")
    check(process.running(), "it is still there")
    check(b"exceeded timeout" not in log.err, "the broker is content")
    process.close_stdin()
    poll(lambda: b"Received DISCONNECT from mortal" in log.err or not process.running(), 30, "its end")
    process.end()
    process = cat_open(net.client, *PLAIN, "--framer", options.replace("will/1", "will/2"), f"{SERVER4}:1883")
    poll(lambda: log.err.count(b"Sending CONNACK to mortal") == 2, 30, "another")
    process.end(by=9)
    poll(lambda: b"gone\n" in watcher.out, 30, "the will")


# ------------------------------------------------------------------------------------------------- the clients

def cat_listening(framer, port):
    return (TAPS, "cat", *PLAIN, "-v", "--keep-open", "--framer", framer, "-l", f"{SERVER4}:{port}")


# proves API-131
@test("mosquitto_pub: publishes to a Listener with each QoS")
def pub_to_us(net):
    require_programs("mosquitto_pub")
    for qos in (0, 1, 2):
        server = net.server.spawn(*cat_listening("mqtt:user=u,password=p", 1883 + qos))
        listening(server)
        lines = b"".join(b"%d\n" % number for number in range(100))
        publish(net.client, "-u", "u", "-P", "p", "-i", "them", "-t", "x/y", "-q", str(qos), "-l",
                port=1883 + qos, stdin=lines)
        poll(lambda: server.out == lines, 30, f"all of them, QoS {qos}")
        check(b"mqtt/client-id=them" in server.err and b"mqtt/user=u" in server.err, "who it is")
        check(b"mqtt/topic=x/y" in server.err, "the topic")
        server.end()


@test("mosquitto_pub: a wrong password is refused")
def pub_refused(net):
    require_programs("mosquitto_pub")
    server = net.server.spawn(*cat_listening("mqtt:user=u,password=p", 1883))
    listening(server)
    answer = net.client.run("mosquitto_pub", "-h", SERVER4, "-u", "u", "-P", "wrong", "-t", "x", "-m", "y")
    check(answer.status != 0, "exit status")
    check(b"bad user name or password" in answer.err.lower(), f"its words: {answer.err!r}")
    check_equal(server.out, b"", "nothing came")


@test("mosquitto_sub: subscribes, is published to, and pings")
def sub_to_us(net):
    require_programs("mosquitto_sub")
    server = net.server.spawn(*cat_listening("mqtt:topic=news/today,qos=1", 1883), stdin=subprocess.PIPE)
    listening(server)
    process = subscriber(net.client, "-t", "news/#", "-t", "other", "-q", "1", "-v", "-k", "5")
    check(b"mqtt/type=subscribe" in server.err and b"mqtt/topic=news/#" in server.err, "the subscription is told")
    server.write(b"one\ntwo\n")
    poll(lambda: b"news/today one\n" in process.out and b"news/today two\n" in process.out, 30, "both")
    poll(lambda: b"received PINGRESP" in process.out, 30, "the answer to a ping")
    check(process.running(), "it is still there")


if __name__ == "__main__":
    main()
