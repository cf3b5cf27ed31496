import threading, time
for i in range(5000):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
