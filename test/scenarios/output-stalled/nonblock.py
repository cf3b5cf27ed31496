# A library made stdout non-blocking; the reader is slow, and print meets EAGAIN.
import os
os.set_blocking(1, False)
n = 0
while n < 200000:
    n += 1
    print("order", n, "accepted, invoice will be sent to the customer by the night job")
