import sys

# A service that logs as it did twenty years ago.
for n in range(40):
    sys.stdout.buffer.write(f"2026-11-22 07:24:{n:02} заказ {n} принят, ждём оплаты\n".encode("cp1251"))
sys.stderr.buffer.write("остановка: склад не отвечает, попробуйте позже; заявки сохранены в очереди\n".encode("cp1251"))
sys.exit(9)
