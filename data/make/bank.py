"""bank.sql: customers, accounts, loans and their payments, all invented, with a seed. Loads into SQLite."""
from __future__ import annotations
import random
from datetime import date, timedelta

from facts import load_facts

SCHEMA = """PRAGMA foreign_keys = ON;
CREATE TABLE customers (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, segment TEXT NOT NULL CHECK (segment IN ('private', 'student', 'business', 'charity')),
    town TEXT NOT NULL, joined TEXT NOT NULL CHECK (joined GLOB '????-??-??')
);
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), product TEXT NOT NULL,
    opened TEXT NOT NULL CHECK (opened GLOB '????-??-??'), balance_cents INTEGER NOT NULL
);
CREATE TABLE loans (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), product TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0), annual_rate REAL NOT NULL CHECK (annual_rate > 0), term_months INTEGER NOT NULL CHECK (term_months > 0),
    started TEXT NOT NULL CHECK (started GLOB '????-??-??'), status TEXT NOT NULL CHECK (status IN ('running', 'repaid', 'in_arrears'))
);
CREATE TABLE payments (
    id INTEGER PRIMARY KEY, loan_id INTEGER NOT NULL REFERENCES loans (id), due_on TEXT NOT NULL CHECK (due_on GLOB '????-??-??'),
    paid_on TEXT CHECK (paid_on GLOB '????-??-??'), amount_cents INTEGER NOT NULL CHECK (amount_cents > 0), UNIQUE (loan_id, due_on)
);
CREATE INDEX accounts_of_customer ON accounts (customer_id);
CREATE INDEX loans_of_customer ON loans (customer_id);
"""
TOWNS = ["Quayside", "Oldport", "Lakeham", "Millbay", "Northpier", "Saltmarsh"]
ACCOUNTS = {"private": ["Harbor Everyday Account", "Harbor Everyday Plus Account", "Harbor Joint Account", "Harbor Easy Saver", "Harbor Long Notice Saver"], "student": ["Harbor Student Account", "Harbor Easy Saver"],
            "business": ["Harbor Business Account", "Harbor Business Plus Account"], "charity": ["Harbor Charity Account"]}
LOANS = {"private": ["Harbor Personal Loan", "Harbor Personal Loan Plus", "Harbor Car Loan", "Harbor Used Car Loan", "Harbor Electric Car Loan", "Harbor Green Personal Loan"], "student": ["Harbor Student Loan"],
         "business": ["Harbor Business Loan", "Harbor Startup Loan"], "charity": []}
TODAY = date(2026, 4, 1)


def month_later(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, min(day.day, 28))


def instalment(cents: int, rate: float, months: int) -> int:
    "The equal monthly payment of a loan, in cents."
    monthly = rate / 1200
    return round(cents * monthly / (1 - (1 + monthly) ** -months))


def tables() -> dict[str, list[tuple]]:
    rng, facts = random.Random(2026), {(fact["product"], fact["attribute"]): fact["value"] for fact in load_facts()}
    customers, accounts, loans, payments = [], [], [], []
    for number in range(1, 241):
        segment = rng.choices(["private", "student", "business", "charity"], [70, 14, 13, 3])[0]
        joined = TODAY - timedelta(days=rng.randint(400, 7000))
        customers.append((number, f"Customer {number:04d}", segment, rng.choice(TOWNS), joined.isoformat()))
        for product in rng.sample(ACCOUNTS[segment], rng.randint(1, min(2, len(ACCOUNTS[segment])))):
            opened = joined + timedelta(days=rng.randint(0, 300))
            overdrawn = 60_000 if rng.random() < 0.1 and "Saver" not in product else 0
            accounts.append((len(accounts) + 1, number, product, opened.isoformat(), round(rng.lognormvariate(12.2, 1.2)) - overdrawn))
        if not LOANS[segment] or rng.random() > 0.55: continue
        product = rng.choice(LOANS[segment])
        rate, most = float(facts[product, "rate"].rstrip("%")), int(facts[product, "max_amount"].strip("$").replace(",", ""))
        longest, unit = facts[product, "max_term"].split()
        months = rng.randrange(12, int(longest) * (12 if unit == "years" else 1) + 1, 6)
        amount = rng.randrange(1000, most + 1, 500) * 100
        started = TODAY - timedelta(days=rng.randint(40, 1400))
        due = [month_later(started, step) for step in range(1, months + 1)]
        past, shaky = [day for day in due if day < TODAY], rng.random() < 0.18
        loan, missed = len(loans) + 1, 0
        for step, day in enumerate(past):
            late = rng.choice([0, 0, 0, 1, 3]) + (rng.choice([0, 12, 35]) if shaky else 0)
            paid = day + timedelta(days=late)
            open_ = paid >= TODAY or (shaky and step >= len(past) - 2 and rng.random() < 0.6)
            missed += open_
            payments.append((len(payments) + 1, loan, day.isoformat(), None if open_ else paid.isoformat(), instalment(amount, rate, months)))
        status = "repaid" if len(past) == len(due) and not missed else "in_arrears" if missed else "running"
        loans.append((loan, number, product, amount, rate, months, started.isoformat(), status))
    return {"customers": customers, "accounts": accounts, "loans": loans, "payments": payments}


def literal(value: object) -> str:
    return "NULL" if value is None else str(value) if isinstance(value, (int, float)) else "'" + str(value).replace("'", "''") + "'"


def build() -> bytes:
    parts = ["-- Harbor Bank, invented: made by data/make/bank.py. Money in cents, dates in ISO form; the day of the books is 2026-04-01.\n", SCHEMA, "BEGIN;\n"]
    for name, rows in tables().items():
        for start in range(0, len(rows), 100):
            values = ",\n".join("(" + ", ".join(map(literal, row)) + ")" for row in rows[start:start + 100])
            parts.append(f"INSERT INTO {name} VALUES\n{values};\n")
    return "".join([*parts, "COMMIT;\n"]).encode()
