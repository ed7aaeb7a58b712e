"""Customer queries of two periods for drift: in the second one other topics lead. Written wordings, drawn with a seed."""
from __future__ import annotations
import random

WORDINGS = {
    "cards": ["my card was swallowed by the machine {when}", "card declined {when}, what is wrong", "how do i block my {card}", "new {card} still not here", "i was charged twice at the {shop}",
              "pin of my {card} forgotten", "can i pay with the {card} at the {shop}", "{shop} took the wrong amount {when}", "limit of my {card} too low for the {shop}"],
    "loans": ["i want to borrow for a {thing}", "what would a loan for a {thing} cost me", "can i repay my loan {when}", "instalment taken twice {when}", "my loan for the {thing} was refused, why",
              "skip one instalment please, i paid for a {thing}", "statement of my loan for the {thing} needed", "how long for a decision, i need a {thing} {when}"],
    "mortgages": ["we found a house, whom do we see {when}", "valuation of our {home} is too low", "fixed or moving rate for a {home}", "my fixed rate ends {when}", "how much can we pay for a {home}",
                  "can the mortgage move with us to a {home}", "notary for the {home} asks for papers", "mortgage for a {home} as a freelancer"],
    "savings": ["rates are rising, do you pay more {when}", "where do i put money from the sale of my {thing}", "bond ends {when}, what now", "savings for the kids, they want a {thing}", "move my savings to a longer term {when}",
                "notice given {when}, when is it paid", "is a bond better than the simple account for a {thing}"],
    "payments": ["transfer sent {when} has not arrived", "wrong account number on a transfer {when}", "standing order to the {shop} must stop", "direct debit of the {shop} was wrong", "wire abroad for a {thing}",
                 "payment to the {shop} is pending since days", "can i take back a transfer from {when}"],
    "fraud": ["someone called and asked for my code {when}", "strange text message about my account {when}", "i gave my password to a false page of the {shop}", "unknown payment to a {shop}", "a man says my money must move to a safe account",
              "link in a mail about my {card}", "is this letter about my {card} real", "my mother was asked to send money for a {thing}"],
    "app": ["app does not open {when}", "face login fails since the update", "where do i see my {card} in the app", "app shows an empty balance {when}", "notifications come too late {when}", "new phone, how do i get the app back",
            "the app logs me out at the {shop}"],
    "accounts": ["open an account for my {relative}", "close the account of my {relative}", "change of address {when}", "monthly fee went up, why", "overdraft too small for a {thing}", "statement for {when} please", "add my {relative} to the account"],
}
SLOTS = {
    "when": ["yesterday", "last night", "on monday", "this morning", "two weeks ago", "next month", "on the weekend", "today", "in summer", "before easter", "last friday", "since tuesday"],
    "card": ["debit card", "credit card", "gold card", "travel card", "youth card", "business card", "student card"],
    "shop": ["bakery", "petrol station", "online shop", "hotel", "gym", "airline", "supermarket", "phone company", "cinema", "pharmacy", "ferry office"],
    "thing": ["kitchen", "used car", "boat", "wedding", "heat pump", "course", "bike", "roof", "dentist", "piano", "caravan", "camera"],
    "home": ["flat in the old town", "house with a garden", "farm", "second home", "new building", "terrace house", "cottage at the lake"],
    "relative": ["daughter", "son", "mother", "father", "wife", "husband", "grandmother", "club", "late uncle"],
}
PERIODS = [    # months and the share of each topic
    (["2026-01", "2026-02", "2026-03"], {"cards": 30, "payments": 22, "accounts": 18, "loans": 14, "savings": 6, "mortgages": 5, "fraud": 4, "app": 1}),
    (["2026-04", "2026-05", "2026-06"], {"fraud": 24, "app": 22, "savings": 18, "mortgages": 12, "cards": 9, "payments": 7, "loans": 5, "accounts": 3}),
]


def build() -> list[dict]:
    rng, rows = random.Random(5), []
    for months, shares in PERIODS:
        seen = set()
        while len(seen) < 210:
            topic = rng.choices(list(shares), list(shares.values()))[0]
            text = rng.choice(WORDINGS[topic]).format(**{slot: rng.choice(words) for slot, words in SLOTS.items()})
            if text in seen: continue
            seen.add(text)
            rows.append({"text": text, "topic": topic, "month": rng.choice(months)})
    rows.sort(key=lambda row: row["month"])
    return [{"id": f"query-{number:03d}", **row} for number, row in enumerate(rows, 1)]
