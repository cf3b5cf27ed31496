Thread.abort_on_exception = true
all = (1..5000).map { Thread.new { sleep } }
