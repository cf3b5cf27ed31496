class Tariff:
    def __init__(self, rates):
        self.rates = rates

    def rate(self, country):
        return self.rates[country]

def quote(t, country):
    return 100 * t.rate(country)

print(quote(Tariff({"DE": 19}), "DE"))
print(quote(Tariff({"DE": 19}), "XK"))
