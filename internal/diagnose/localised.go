package diagnose

import "github.com/descry-dev/descry/internal/evidence"

// localised are the words of glibc's strerror(3) in other languages than English: German, French, Spanish
// (in both of its wordings), Italian, Portuguese, Japanese, Chinese, Russian.
var localised = map[evidence.Errno][]string{
	evidence.ENOENT: {"Datei oder Verzeichnis nicht gefunden", "Aucun fichier ou dossier de ce type", "No existe el fichero o el directorio", "No existe el archivo o el directorio",
		"File o directory non esistente", "Arquivo ou diretório inexistente", "そのようなファイルやディレクトリはありません", "没有那个文件或目录", "Нет такого файла или каталога"},
	evidence.EACCES: {"Keine Berechtigung", "Permission non accordée", "Permiso denegado", "Permesso negato", "Permissão negada", "許可がありません", "权限不够", "Отказано в доступе"},
	evidence.EPERM: {"Die Operation ist nicht erlaubt", "Opération non permise", "Operación no permitida", "Operazione non permessa", "Operação não permitida",
		"許可されていない操作です", "不允许的操作", "Операция не позволена"},
	evidence.ENOSPC: {"Auf dem Gerät ist kein Speicherplatz mehr verfügbar", "Aucun espace disponible sur le périphérique", "No queda espacio en el dispositivo",
		"Spazio esaurito sul device", "Não há espaço disponível no dispositivo", "デバイスに空き領域がありません", "设备上没有空间", "На устройстве не осталось свободного места"},
	evidence.EROFS: {"Das Dateisystem ist nur lesbar", "Système de fichiers accessible en lecture seulement", "Sistema de ficheros de sólo lectura",
		"File system in sola lettura", "Sistema de arquivos somente para leitura", "読み込み専用ファイルシステムです", "只读文件系统", "Файловая система доступна только для чтения"},
}
