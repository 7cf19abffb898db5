"""Which handler decides which command: the one list."""

from application.commands import Command, audit, imports
from application.commands import agents as agent
from application.commands import archives as archive
from application.commands import subjects as subject
from application.commands import tasks as task
from application.control_plane import Handler
from application.erasure.sealing import NO_SUBJECTS, Sealing


def all_handlers(sealing: Sealing = NO_SUBJECTS) -> dict[type[Command], Handler]:
    """A handler for every command there is."""
    tasks, agents = task.TaskCommands(sealing), agent.AgentCommands()
    trail = audit.AuditCommands()
    archives = archive.ArchiveCommands()
    return {
        task.SubmitTask: tasks.submit,
        task.ApproveTask: tasks.approve,
        task.RejectTask: tasks.reject,
        task.CancelTask: tasks.cancel,
        task.RetryTask: tasks.retry,
        task.MakeTaskDue: tasks.make_due,
        task.AssignTask: tasks.assign,
        task.ExpireLease: tasks.expire_lease,
        task.TimeOutAttempt: tasks.time_out,
        task.MissDeadline: tasks.miss_deadline,
        task.ReportStarted: tasks.report,
        task.ReportProgress: tasks.report,
        task.ReportCompleted: tasks.report,
        task.ReportFailed: tasks.report,
        task.ReportReleased: tasks.report,
        agent.RegisterAgent: agents.register,
        agent.ChangeAgent: agents.change,
        agent.BringOnline: agents.bring_online,
        agent.TakeOffline: agents.take_offline,
        agent.DrainAgent: agents.drain,
        agent.ResumeAgent: agents.resume,
        agent.RetireAgent: agents.retire,
        imports.ImportHistory: imports.ImportCommands().take,
        subject.EraseSubject: subject.SubjectCommands().erase,
        audit.RecordCommand: trail.record_command,
        audit.RecordRead: trail.record_read,
        audit.RecordRefusal: trail.record_refusal,
        audit.CountRefusals: trail.count_refusals,
        archive.StartArchive: archives.start,
        archive.RecordFound: archives.record_found,
        archive.RecordStored: archives.record_stored,
        archive.RecordVerified: archives.record_verified,
        archive.RecordArchiveFailed: archives.record_failed,
        archive.RecordDrilled: archives.record_drilled,
        archive.ExpireArchive: archives.expire,
    }
