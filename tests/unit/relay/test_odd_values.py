"""Values that cannot be sent, or should not have been: a main process and a child, without Celery."""

from __future__ import annotations

from tests.unit.relay.test_relay import run


def test_f66_odd_values_end_no_connection() -> None:
    """Each costs itself; what the same connection says after them is heard."""
    facts = run("""
begin()
item = lambda name, *points: (("s", None, None, ()), name, "", "", "counter", (), list(points))
odd = [item("one", ((), "1"), ((), 3)), item(2, ((), 1)), item("one", ((), 4))]
def work():
    other = [frames.frame(("delta", "nonsense")), frames.lost([("value", 2, "g")]), frames.delta(item("one", ((), 5)))]
    child._current._sender._unsent.extend([*map(frames.delta, odd), *other])
    orders.add(2)
    child.say_goodbye()
fork(work)
until("orders", 2)
tell(values=values())
""")
    assert facts["values"] == {"one": 12, "orders": 2}
    assert sorted(facts["lost"]) == [["malformed", 1], ["malformed", 1], ["value", 1], ["value", 2]]
    assert len(facts["failed"]) == 1


def test_f66_a_childs_odd_values_cost_themselves() -> None:
    """What the SDK took and cannot be sent is counted here; all that was recorded beside it arrives, at once."""
    facts = run("""
begin()
class Once:
    asked = 0
    def __float__(self):
        self.asked += 1
        if self.asked > 1:
            raise SystemExit(3)
        return 1.0
def work():
    meter = metrics.get_meter("late")
    orders.add(2)
    meter.create_gauge("odd").set(Once())
    meter.create_counter("behind").add(5)
    child.say_goodbye()
fork(work)
until("behind", 5)
tell(values=values())
""")
    assert facts == {"values": {"orders": 2, "behind": 5}, "lost": [["value", 1]], "failed": []}
