package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/container"
)

// findLog looks for a container's log where runtimes put it, for where they cannot be asked; "" where there is none. The path
// is the node's.
func findLog(root, id string) string {
	if id == "" || strings.ContainsAny(id, `/*?[\`) {
		return ""
	}
	links, _ := filepath.Glob(filepath.Join(root, "/var/log/containers/*-"+id+".log")) // the kubelet's
	if len(links) == 1 {
		return strings.TrimPrefix(links[0], strings.TrimSuffix(root, "/"))
	}
	docker := filepath.Join("/var/lib/docker/containers", id, id+"-json.log")
	if _, err := os.Stat(filepath.Join(root, docker)); err == nil {
		return docker
	}
	return ""
}

// noLog says why there is no log, given an engine's log driver.
func noLog(driver string) string {
	switch driver {
	case "", "json-file", "k8s-file", "passthrough":
		return "no log of it was found"
	case "none":
		return "its engine drops its output (log driver none)"
	}
	return fmt.Sprintf("its engine hands its output to the log driver %q, which keeps no text file that could be followed", driver)
}

// kubeletLog is the log of a container of a pod, for where its runtime has not told that yet; "" where there is none.
func kubeletLog(root string, i *container.Info) string {
	if i.Pod == "" || i.PodUID == "" || i.Container == "" || strings.Contains(i.Namespace+i.Pod+i.PodUID+i.Container, "/") {
		return ""
	}
	path := fmt.Sprintf("/var/log/pods/%s_%s_%s/%s/%d.log", i.Namespace, i.Pod, i.PodUID, i.Container, i.Attempt)
	if _, err := os.Stat(filepath.Join(root, path)); err != nil {
		return ""
	}
	return path
}

// inRoot is where a path of the node is seen from here, links followed as the node has them. The file itself need
// not exist yet. why says what is wrong, if it is no path of a log.
func inRoot(root, path string) (real, why string) {
	switch {
	case !filepath.IsAbs(path):
		return "", fmt.Sprintf("its log has no place of its own: %.100q", path)
	case path == "/dev/null":
		return "", "its runtime drops its output"
	}
	if root == "" || root == "/" {
		return path, ""
	}
	real, err := openInRoot(root, path)
	if errors.Is(err, fs.ErrNotExist) {
		if dir, derr := openInRoot(root, filepath.Dir(path)); derr == nil {
			return filepath.Join(dir, filepath.Base(path)), ""
		}
		return filepath.Join(root, path), "" // it may come
	}
	if err != nil {
		return "", fmt.Sprintf("find its log %s: %v", path, err)
	}
	return real, ""
}

// openInRoot is the path of what a path leads to, below root.
func openInRoot(root, path string) (string, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, strings.TrimPrefix(path, "/"), &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
}
