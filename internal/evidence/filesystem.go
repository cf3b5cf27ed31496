package evidence

import "fmt"

// FileSystemName is the name of a kind of file system, by its magic number.
func FileSystemName(magic uint64) string {
	switch magic {
	case 0x01021994:
		return "tmpfs"
	case 0xEF53:
		return "ext4"
	case 0x58465342:
		return "xfs"
	case 0x9123683E:
		return "btrfs"
	case 0x794C7630:
		return "overlay"
	case 0x6969:
		return "nfs"
	case 0x65735546:
		return "fuse"
	case 0x958458F6:
		return "hugetlbfs"
	case 0x73717368:
		return "squashfs"
	case 0x01021997:
		return "9p"
	case 0x00C36400:
		return "ceph"
	case 0xFF534D42, 0xFE534D42:
		return "cifs"
	case 0xF2F52010:
		return "f2fs"
	case 0x2FC12FC1:
		return "zfs"
	}
	return fmt.Sprintf("0x%x", magic)
}
