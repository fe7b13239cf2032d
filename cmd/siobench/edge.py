#!/usr/bin/env python3
"""Measures the edge alone: each (edge) line of the budgets, an edge in a process of its own and its clients in another.

  edge.py                             all of it, three times over, about half an hour; exit status 1 if a must is missed
  edge.py --only waves --reps 1       one line
  edge.py --json result.json          the raw figures as well

Every repetition runs every line once, each with a mesh started afresh (scripts/bench-edge); only the process of the edge is
accounted. Memory is the anonymous memory of smaps_rollup after two collections and a return of
free memory to the system, less that of the edge without clients after a warm-up of 100 connections. A run whose other programs
used much of the machine is marked by its noise: CPU seconds of neither edge nor load in a second.
"""
import argparse, json, os, re, signal, statistics, subprocess, sys, tempfile, time, urllib.error, urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
URL, INTERNAL = "127.0.0.1:3321", "http://127.0.0.1:8341"
FLOOR_URL, FLOOR_INTERNAL = "127.0.0.1:3322", "http://127.0.0.1:8344"
TURNS = 3  # of edge and floor
POLL = 5000  # connections of the lines about memory
FULL = 10000  # and of the others

# name: (edge's arguments, siobench's arguments, [(result, line of the budgets, must, aim, unit)])
LINES = {
    "plain": ([], ["idle", "--conns", str(POLL), "--hold", "30"],
              [("held_bytes_per_conn", "memory of an idle connection", 7168, 5120, "B"),
               ("bytes_per_conn", "- before its first ping", None, None, "B"),
               ("connect_cpu_us", "- CPU to connect it", None, None, "us")]),
    "tls": (["--tls"], ["idle", "--conns", str(POLL), "--hold", "30"],
            [("held_bytes_per_conn", "memory of an idle TLS connection", 16384, 10240, "B"),
             ("bytes_per_conn", "- before its first ping", None, None, "B")]),
    "poll": ([], ["idle", "--conns", str(POLL), "--polling"],
             [("bytes_per_conn", "memory of a parked long-poll", 17408, 1536, "B")]),
    "idle": ([], ["idle", "--conns", str(FULL), "--hold", "60"],
             [("cpu_us_per_s_per_conn", "CPU of a heartbeat each 25 s, per connection", 1.5, 0.6, "us/s"),
              ("held_bytes_per_conn", "memory of an idle connection of 10 000", 7168, 5120, "B")]),
    "waves": ([], ["waves", "--conns", str(FULL), "--warm-up-waves", "5", "--waves", "3"],
              [("worst_percent_off", "after three waves 0-10 000-0, farthest from the baseline", 2, 2, "%")]),
}
FANOUT = {"fanout1k": 1000, "fanout10k": FULL}


def start(binaries, args, internal=INTERNAL):
    try:
        urllib.request.urlopen(internal, timeout=1).close()
        sys.exit(f"a server is at {internal} already")
    except urllib.error.HTTPError:
        sys.exit(f"a server is at {internal} already")
    except OSError:
        pass  # as it should be
    proc = subprocess.Popen([str(ROOT / "scripts/bench-edge"), *args], env={**os.environ, "BIN": binaries},
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.time() + 30
    while True:
        try:
            ready = "/account" if "--floor" in args else "/readyz"
            urllib.request.urlopen(internal + ready, timeout=1).close()
            break
        except OSError:
            if proc.poll() is not None or time.time() > end:
                stop(proc)
                sys.exit("the edge did not come up")
            time.sleep(0.1)
    time.sleep(1)
    return proc


def stop(proc):
    try:
        os.killpg(proc.pid, signal.SIGTERM)
        proc.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(proc.pid, signal.SIGKILL)
        proc.wait()
    except ProcessLookupError:
        proc.wait()


def edge_pid(proc):
    """The process that is accounted, among the children of the script or the script itself."""
    for p in Path("/proc").glob("[0-9]*/stat"):
        try:
            f = p.read_text().rsplit(")", 1)
            if f[0].endswith("(edgehost") and int(f[1].split()[2]) == proc.pid:  # its process group
                return p.parent.name
        except (OSError, IndexError):
            pass
    sys.exit("no edgehost among the processes")


def siobench(binaries, args):
    r = subprocess.run([f"{binaries}/siobench", *args, "--json"], capture_output=True, text=True, timeout=600)
    try:
        doc = json.loads(r.stdout)
    except ValueError:
        sys.exit(f"siobench {' '.join(args)}: {r.stderr.strip()[-300:]}")
    return doc["results"], doc.get("errors") or []


def line(binaries, name):
    edge, args, _ = LINES[name]
    proc = start(binaries, edge)
    try:
        scheme = "https" if "--tls" in edge else "http"
        return siobench(binaries, [*args, "--url", f"{scheme}://{URL}", "--internal", INTERNAL])
    finally:
        stop(proc)


def fanout(binaries, members, seconds):
    """Edge and floor, both running, in turns: the cost of a delivery in each and the latency. Of the turns the least counts,
    as others on the machine only add."""
    turns, errors = {"floor": [], "edge": []}, []
    servers = {"edge": (URL, start(binaries, []))}
    try:
        servers["floor"] = (FLOOR_URL, start(binaries, ["--floor", "--listen", FLOOR_URL, "--internal-listen", FLOOR_INTERNAL[7:]],
                                             FLOOR_INTERNAL))
        for _ in range(TURNS):
            for name, (url, proc) in servers.items():
                res, errs = siobench(binaries, ["broadcast", "--conns", str(members), "--inflight", "1", "--payload", "64",
                                                "--duration", f"{seconds}s", "--url", f"http://{url}", "--pids", edge_pid(proc)])
                errors += [f"{name}: {e}" for e in errs]
                turns[name].append({"us": res.get("server_cpu_s_per_million_deliveries"), "p50_ms": res.get("latency_p50_ms"),
                                    "p99_ms": res.get("latency_p99_ms"),
                                    "noise": round(res.get("other_cpu_s", 0) / max(res.get("measured_s", 1), 0.001), 2)})
    finally:
        for _, proc in servers.values():
            stop(proc)
    out = {"turns": turns}
    for name, results in turns.items():
        for key in ("us", "p50_ms", "p99_ms", "noise"):
            out[f"{name}_{key}"] = min((r[key] for r in results if r[key] is not None), default=None)
    if out["floor_us"] and out["edge_us"]:
        out["ratio"] = round(out["edge_us"] / out["floor_us"], 3)
    return out, errors


def allocations():
    r = subprocess.run(["go", "test", "-count=1", "-v", "-run", "^TestInboundEventAllocations$", "./services/edge"], cwd=ROOT,
                       capture_output=True, text=True)
    found = re.search(r"allocations per event: ([0-9.]+)", r.stdout)
    return ({"allocations": float(found.group(1))} if found else {}), ([] if r.returncode == 0 else [r.stdout[-300:]])


def fanout_lines(name):
    n = FANOUT[name]
    rows = [("ratio", f"CPU of a delivery to {n:,} to that of the floor", 1.15, 1.15, ""), ("edge_us", "- the edge", None, None, "us"),
            ("floor_us", "- the floor", None, None, "us"), ("floor_p99_ms", "- p99 of the floor", None, None, "ms")]
    if n == FULL:
        rows.insert(0, ("edge_p99_ms", "p99 of a broadcast to 10 000", 120, 80, "ms"))
    return rows


def write(path, table, runs):
    """The figures of lines that were not measured this time stay."""
    old = json.loads(path.read_text()) if path.exists() else {}
    table = [row for row in old.get("lines", []) if row["line"] not in runs] + table
    runs = {**old.get("runs", {}), **runs}
    path.write_text(json.dumps({"lines": table, "runs": runs}, indent=1) + "\n")


def interrupted(*_):
    sys.exit("interrupted")  # so that what was started is stopped


def main():
    signal.signal(signal.SIGTERM, interrupted)
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*LINES, *FANOUT, "allocations"]
    ap.add_argument("--only", default=",".join(names), help="comma-separated lines: " + ", ".join(names))
    ap.add_argument("--reps", type=int, default=3)
    ap.add_argument("--seconds", type=int, default=4, help="of each turn of a broadcast")
    ap.add_argument("--bin", help="a directory with built programs")
    ap.add_argument("--json", help="where to write the raw figures, beside those of other lines that are there")
    o = ap.parse_args()
    binaries = o.bin or tempfile.mkdtemp()
    if not o.bin:
        subprocess.run(["go", "build", "-o", binaries + "/", "./cmd/siomesh", "./cmd/edgehost", "./cmd/siobench", "./examples/bench",
                        "github.com/nats-io/nats-server/v2"], cwd=ROOT, check=True)
    runs, failed = {n: [] for n in o.only.split(",")}, False
    for rep in range(o.reps):
        for n in runs:
            if n == "allocations":
                res, errors = allocations()
            elif n in FANOUT:
                res, errors = fanout(binaries, FANOUT[n], o.seconds)
            else:
                res, errors = line(binaries, n)
            for e in errors[:3]:
                print(f"! {n}: {e}", file=sys.stderr, flush=True)
            failed = failed or any(" off the baseline " not in str(e) for e in errors)  # that is what waves measures
            runs[n].append(res)
            print(f"# {rep + 1}/{o.reps} {n}: {json.dumps(res)}", file=sys.stderr, flush=True)
    table = []
    for n, results in runs.items():
        rows = LINES[n][2] if n in LINES else fanout_lines(n) if n in FANOUT else [("allocations", "allocations per inbound event", 2, 0, "")]
        for key, what, must, aim, unit in rows:
            values = [r[key] for r in results if r.get(key) is not None]
            if not values:
                failed = True
                continue
            median = statistics.median(values)
            verdict = "" if must is None else "aim" if median <= aim else "must" if median <= must else "MISSED"
            failed = failed or verdict == "MISSED"
            table.append({"line": n, "result": key, "what": what, "must": must, "aim": aim, "unit": unit, "median": median,
                          "min": min(values), "max": max(values), "verdict": verdict})
            goal = "" if must is None else f"  must {must:g}, aim {aim:g}: {verdict}"
            print(f"{what:60} {median:>10,.5g} {unit:5} ({min(values):,.5g}-{max(values):,.5g}){goal}", flush=True)
    if o.json:
        write(Path(o.json), table, runs)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
