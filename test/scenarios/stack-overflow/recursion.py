def menu(level):
    return menu(level + 1)
menu(0)
