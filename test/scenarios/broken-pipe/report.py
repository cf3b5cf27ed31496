# Prints a long report; whoever reads it goes away after the first page.
n = 0
while True:
    n += 1
    print("page", n)
