# One lock file per message, none released.
locks = []
loop { locks << File.open("box.lock", File::RDWR | File::CREAT) }
