# Every entry of the ledger opens its receipt; the list of receipts keeps them all alive.
import os
receipts = []

def book(n):
    receipts.append(open("receipt.txt", "a"))
    return n

for n in range(100000):
    book(n)
