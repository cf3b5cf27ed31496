def resolve(name) = resolve(name + "x")
resolve("")
