# The error that ends it is a missing file, and Python says so.
with open("rates-2031.csv") as f:
    print(f.read())
