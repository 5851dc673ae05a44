"""The plot of the sweeps: one panel for each, time to connect over delay, filled marks where IPv6 won."""

COLOURS = ["#0b6e99", "#c4571a", "#5b8c3a", "#7a4fa3"]
WIDTH, HEIGHT, LEFT, TOP, GAP = 760, 260, 60, 50, 90


def chart(figures, clients, sweeps, longest):
    height = TOP + len(sweeps) * (HEIGHT + GAP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 30} {height}" '
             'font-family="sans-serif" font-size="12" fill="#333">',
             f'<rect width="{LEFT + WIDTH + 30}" height="{height}" fill="#fff"/>']
    parts += _legend(clients)
    for number, (sweep, title) in enumerate(sweeps.items()):
        rows = [row for row in figures if row["sweep"] == sweep]
        parts += _panel(rows, clients, title, longest, TOP + 30 + number * (HEIGHT + GAP))
    return "\n".join(parts + ["</svg>"]) + "\n"


def _legend(clients):
    parts, x = [], LEFT
    for colour, client in zip(COLOURS, clients):
        parts.append(_mark(x, 20, colour, True))
        parts.append(f'<text x="{x + 9}" y="24">{client}: IPv6 won</text>')
        parts.append(_mark(x + 160, 20, colour, False))
        parts.append(f'<text x="{x + 169}" y="24">IPv4 won</text>')
        x += 270
    return parts


def _mark(x, y, colour, filled):
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{colour if filled else "#fff"}" stroke="{colour}" stroke-width="1.4"/>'


def _panel(rows, clients, title, longest, top):
    highest = max([100] + [row["ms"] for row in rows if row["ms"] is not None])
    highest = (int(highest) // 100 + 1) * 100

    def place(delay, ms):
        return LEFT + WIDTH * delay / max(longest, 1), top + HEIGHT * (1 - ms / highest)

    parts = [f'<text x="{LEFT}" y="{top - 12}" font-size="14" font-weight="bold">{title}</text>']
    for ms in range(0, highest + 1, 100):
        _, y = place(0, ms)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + WIDTH}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{ms}</text>')
    for delay in range(0, longest + 1, 50):
        x, _ = place(delay, 0)
        parts.append(f'<text x="{x:.1f}" y="{top + HEIGHT + 18}" text-anchor="middle">{delay}</text>')
    parts.append(f'<text x="{LEFT + WIDTH / 2}" y="{top + HEIGHT + 36}" text-anchor="middle">delay, ms</text>')
    parts.append(f'<text x="16" y="{top + HEIGHT / 2}" text-anchor="middle" '
                 f'transform="rotate(-90 16 {top + HEIGHT / 2})">connected after, ms</text>')
    for colour, client in zip(COLOURS, clients):
        for row in rows:
            if row["client"] == client and row["ms"] is not None:
                parts.append(_mark(*place(row["delay_ms"], row["ms"]), colour, max(row["families"]) == 6))
    return parts
