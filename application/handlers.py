"""Which handler decides which command: the one list."""

from application.commands import Command
from application.commands import agents as agent
from application.commands import tasks as task
from application.control_plane import Handler


def all_handlers() -> dict[type[Command], Handler]:
    """A handler for every command there is."""
    tasks, agents = task.TaskCommands(), agent.AgentCommands()
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
    }
